// SPDX-License-Identifier: MIT
//
// Runs the tests of one suite, then checks that nothing is left of them: no descriptor, no child, no thread. The exit
// status 77 says that every test was skipped.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "support.hpp"

namespace {

unsigned tests_run = 0;

// ThreadSanitizer's runtime has a thread of its own from the first one that is made on.
#if defined(__SANITIZE_THREAD__)
constexpr bool under_thread_sanitizer = true;
#elif defined(__has_feature)
constexpr bool under_thread_sanitizer = __has_feature(thread_sanitizer);
#else
constexpr bool under_thread_sanitizer = false;
#endif

struct Counter : doctest::IReporter {
    explicit Counter(const doctest::ContextOptions&) {}
    void report_query(const doctest::QueryData&) override {}
    void test_run_start() override {}
    void test_run_end(const doctest::TestRunStats& stats) override { tests_run = stats.numTestCasesPassingFilters; }
    void test_case_start(const doctest::TestCaseData&) override {}
    void test_case_reenter(const doctest::TestCaseData&) override {}
    void test_case_end(const doctest::CurrentTestCaseStats&) override {}
    void test_case_exception(const doctest::TestCaseException&) override {}
    void subcase_start(const doctest::SubcaseSignature&) override {}
    void subcase_end() override {}
    void log_assert(const doctest::AssertData&) override {}
    void log_message(const doctest::MessageData&) override {}
    void test_case_skipped(const doctest::TestCaseData&) override {}
};

REGISTER_LISTENER("counter", 0, Counter);

bool check_nothing_left(const std::set<int>& descriptors_before) {
    bool clean = true;
    for (const int fd : support::open_descriptors()) {
        if (descriptors_before.count(fd) != 0) continue;
        std::printf("LEFT OVER: descriptor %d\n", fd);
        clean = false;
    }
    for (const int fd : descriptors_before) {
        if (support::open_descriptors().count(fd) != 0) continue;
        std::printf("LOST: descriptor %d was open at the start\n", fd);
        clean = false;
    }
    if (!under_thread_sanitizer) {
        for (const std::string& name : support::threads_left()) {
            std::printf("LEFT OVER: thread %s\n", name.c_str());
            clean = false;
        }
    }
    if (support::has_children()) {
        std::printf("LEFT OVER: a child process\n");
        clean = false;
    }
    return clean;
}

}  // namespace

int main(int argument_count, char** arguments) {
    // Whatever started the suite may have changed them, and that would be inherited.
    std::signal(SIGPIPE, SIG_DFL);
    std::signal(SIGCHLD, SIG_DFL);
    if (support::has_children()) {
        std::puts("The suite was started with a child that it does not know.");
        return 1;
    }

    if (const auto reactor = proctor::Reactor::create(); !reactor) {
        std::ostringstream text;
        text << reactor.error();
        const bool kernel_refuses = reactor.error().error_number == ENOSYS || reactor.error().error_number == EPERM;
        if (kernel_refuses) support::skip(text.str());
        if (!kernel_refuses) std::puts(text.str().c_str());
        return kernel_refuses ? 77 : 1;
    }

    doctest::Context context(argument_count, arguments);
    const std::set<int> descriptors = support::open_descriptors();
    const int status = context.run();
    if (context.shouldExit()) return status;
    if (!check_nothing_left(descriptors)) return 1;
    if (status == 0 && tests_run > 0 && support::skip_count() == tests_run) return 77;
    return status;
}
