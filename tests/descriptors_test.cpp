// SPDX-License-Identifier: MIT
//
// Which descriptors a child gets, and under which numbers. The numbers of pipes, passed descriptors and the host's own
// may all overlap: each test makes them.
#include "support.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <set>
#include <string>
#include <vector>

using proctor::Input;
using proctor::Job;
using proctor::Outcome;
using proctor::Output;
using proctor::RunResult;
using proctor::STDERR;
using proctor::STDOUT;
using support::Fd;
using support::output_of;
using support::script;
using support::TempDir;

namespace {

// Files with known content, open for reading.
class Letters {
public:
    Fd open(char letter) const {
        const std::string path = dir_.file(std::string(1, letter));
        Fd fd = support::open_file(path, O_RDWR | O_CREAT | O_CLOEXEC);
        support::write_all(fd.get(), std::string(1, letter));
        lseek(fd.get(), 0, SEEK_SET);
        return fd;
    }

private:
    TempDir dir_{};
};

std::string close_in_host(unsigned closed) {
    for (int fd = 0; fd < 3; ++fd) {
        if ((closed >> fd & 1U) != 0) close(fd);
    }
    const std::set<int> before = support::open_descriptors();
    Job job = script("print-to 2 error then copy 0 1 then descriptors");
    job.input = Input::text("input ");
    const RunResult result = proctor::run(job);
    HOST_CHECK_RESULT(result.passed(), result);
    HOST_CHECK_RESULT(result.capture.text(STDOUT) == "input 0 1 2 ", result);
    HOST_CHECK_RESULT(result.capture.text(STDERR) == "error", result);
    HOST_CHECK(support::open_descriptors() == before);
    return {};
}

// Children share its table until they have come to their place, as a copy of it would be dear.
std::string hold_very_many() {
    constexpr int held = 2500;
    constexpr rlim_t allowed = rlim_t{2} * held;
    constexpr int jobs = 200;
    rlimit limit{};
    HOST_CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_max < allowed) return "";
    limit.rlim_cur = allowed;
    HOST_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    const std::set<int> before = support::open_descriptors();
    {
        proctor::Reactor reactor = support::make_reactor({.max_running = 64});
        std::vector<Fd> many;
        many.reserve(held);
        for (int i = 0; i < held; ++i) many.emplace_back(fcntl(0, F_DUPFD, 3));
        HOST_CHECK(many.back().get() >= held);
        int right = 0;
        for (int i = 0; i < jobs; ++i) {
            const bool missing = i % 5 == 1;
            Job job = script(i % 5 == 2 ? "close 1 then pause" : "print-to 2 error then copy 0 1 then descriptors");
            if (missing) job.argv = {"/no/such/program"};
            if (i % 5 == 2) job.limits.time = std::chrono::milliseconds(50);
            if (i % 5 == 3) job.descriptors = {{.from = many[1000].get(), .to = 3}};
            const std::string expected = i % 5 == 3 ? "input 0 1 2 3 " : "input 0 1 2 ";
            job.input = Input::text("input ");
            reactor.submit(std::move(job), [&, i, expected](const RunResult& result) {
                if (i % 5 == 1) {
                    right += result.error && result.error->error_number == ENOENT ? 1 : 0;
                } else if (i % 5 == 2) {
                    right += result.reason == proctor::Reason::time_limit ? 1 : 0;
                } else {
                    right += result.capture.text(STDOUT) == expected && result.capture.text(STDERR) == "error" ? 1 : 0;
                }
            });
        }
        HOST_CHECK(reactor.run());
        HOST_CHECK(right == jobs);
    }
    HOST_CHECK(support::open_descriptors() == before);
    return {};
}

}  // namespace

TEST_CASE("a host that holds thousands of descriptors starts children that have their own alone") {
    CHECK(support::in_host(hold_very_many) == "");
}

TEST_CASE("a child has the three standard descriptors and no other, whatever the host has open") {
    std::vector<Fd> inheritable;
    for (const int number : {3, 10, 100, 1000}) inheritable.emplace_back(fcntl(0, F_DUPFD, number));
    for (const Fd& fd : inheritable) REQUIRE(fd.get() >= 3);
    CHECK(output_of(script("descriptors")) == "0 1 2 ");
}

TEST_CASE("passed descriptors are open in the child under their new numbers, and nothing else") {
    const Letters letters;
    const Fd a = letters.open('a');
    const Fd b = letters.open('b');
    Job job = script("copy 3 1 then copy 700 1 then descriptors");
    job.descriptors = {{.from = a.get(), .to = 3}, {.from = b.get(), .to = 700}};
    CHECK(output_of(job) == "ab0 1 2 3 700 ");
}

TEST_CASE("a descriptor that keeps its number loses close-on-exec in the child alone") {
    const Letters letters;
    const Fd a = letters.open('a');
    const std::string number = std::to_string(a.get());
    Job job = script("copy " + number + " 1");
    job.descriptors = {{.from = a.get(), .to = a.get()}};
    CHECK(output_of(job) == "a");
    CHECK((fcntl(a.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("descriptors can swap and rotate their numbers") {
    const Letters letters;
    const Fd a = letters.open('a');
    const Fd b = letters.open('b');
    const Fd c = letters.open('c');
    const auto copy_all = [&] {
        return script("copy " + std::to_string(a.get()) + " 1 then copy " + std::to_string(b.get()) + " 1 then copy " +
                      std::to_string(c.get()) + " 1");
    };
    const auto rewind = [&] {
        for (const Fd* fd : {&a, &b, &c}) lseek(fd->get(), 0, SEEK_SET);
    };
    Job swap = copy_all();
    swap.descriptors = {{a.get(), b.get()}, {b.get(), a.get()}, {c.get(), c.get()}};
    CHECK(output_of(swap) == "bac");
    rewind();
    Job rotate = copy_all();
    rotate.descriptors = {{a.get(), b.get()}, {b.get(), c.get()}, {c.get(), a.get()}};
    CHECK(output_of(rotate) == "cab");
    rewind();
    Job shift = copy_all();
    shift.descriptors = {{a.get(), a.get()}, {a.get(), b.get()}, {b.get(), c.get()}};
    CHECK(output_of(shift) == "ab");  // `b` shares a's position, which is at its end by then
}

TEST_CASE("3 to 4 and 4 to 3 swap in a host where nothing else is open") {
    const std::string complaint = support::in_host([]() -> std::string {
        const Letters letters;
        const Fd a = letters.open('a');
        const Fd b = letters.open('b');
        HOST_CHECK(dup2(a.get(), 203) == 203 && dup2(b.get(), 204) == 204);
        HOST_CHECK(dup3(203, 3, O_CLOEXEC) == 3 && dup3(204, 4, O_CLOEXEC) == 4);
        Job job = script("copy 3 1 then copy 4 1 then descriptors");
        job.descriptors = {{.from = 3, .to = 4}, {.from = 4, .to = 3}};
        const RunResult result = proctor::run(job);
        HOST_CHECK_RESULT(result.capture.text(STDOUT) == "ba0 1 2 3 4 ", result);
        return {};
    });
    CHECK(complaint == "");
}

TEST_CASE("a passed descriptor may have any number that a pipe of the job has in the host") {
    const Letters letters;
    const Fd a = letters.open('a');
    Job job = script("copy-to-both then descriptors");
    std::string expected = "input0 1 2 ";
    for (int number = 3; number < 100; ++number) {
        job.descriptors.push_back({.from = a.get(), .to = number});
        expected += std::to_string(number) + " ";
    }
    job.input = Input::text("input");
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.capture.text(STDOUT) == expected);
    CHECK(result.capture.text(STDERR) == "input");
}

TEST_CASE("the child's streams are right in a host that has closed its own") {
    for (unsigned closed = 0; closed < 8; ++closed) {
        CAPTURE(closed);
        CHECK(support::in_host([closed] { return close_in_host(closed); }) == "");
    }
}

TEST_CASE("inherited streams may be the host's standard descriptors in any order") {
    const std::string complaint = support::in_host([]() -> std::string {
        const TempDir dir;
        const auto at = [&](const char* name, int number) {
            const Fd fd = support::open_file(dir.file(name), O_RDWR | O_CREAT | O_CLOEXEC);
            return dup2(fd.get(), number) == number;
        };
        HOST_CHECK(at("zero", 0) && at("one", 1) && at("two", 2));
        Job job = script("print output then print-to 2 error then copy 0 2");
        HOST_CHECK(pwrite(2, "input ", 6, 0) == 6);
        job.input = Input::inherit(2);
        job.output = Output::inherit(0);
        job.error_output = Output::inherit(1);
        const RunResult result = proctor::run(job);
        HOST_CHECK_RESULT(result.passed(), result);
        HOST_CHECK(support::read_file(dir.file("zero")) == "output");
        HOST_CHECK(support::read_file(dir.file("one")) == "errorinput ");
        HOST_CHECK(support::read_file(dir.file("two")) == "input ");
        return {};
    });
    CHECK(complaint == "");
}

TEST_CASE("an inherited stream is not recorded and what was left unread is not known") {
    const TempDir dir;
    const Fd file = support::open_file(dir.write("file", "input"), O_RDWR | O_CLOEXEC);
    Job job = script("copy 0 1");
    job.input = Input::inherit(file.get());
    const Fd out = support::open_file(dir.file("out"), O_RDWR | O_CREAT | O_CLOEXEC);
    job.output = Output::inherit(out.get());
    const RunResult result = proctor::run(job);
    INFO(support::describe(result));
    CHECK(result.passed());
    CHECK(result.capture.record_count() == 0);
    CHECK_FALSE(result.unread.has_value());
    CHECK(support::read_file(dir.file("out")) == "input");
    CHECK((fcntl(out.get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("the ends of the pipes that the child has are blocking") {
    Job job = script("blocking 0 then blocking 1 then blocking 2");
    job.input = Input::held_open();
    CHECK(output_of(job) == "blocking\nblocking\nblocking\n");
}

TEST_CASE("the host's descriptors keep their flags") {
    const support::Pipe pipe;
    const Fd input = support::open_file("/dev/null", O_RDONLY | O_CLOEXEC);
    const int before_pipe = fcntl(pipe.write_end.get(), F_GETFL);
    const int before_input = fcntl(input.get(), F_GETFL);
    Job job = script("print forwarded");
    job.input = Input::descriptor(input.get());
    job.output = Output::forward(pipe.write_end.get());
    CHECK(proctor::run(job).passed());
    CHECK(fcntl(pipe.write_end.get(), F_GETFL) == before_pipe);
    CHECK(fcntl(input.get(), F_GETFL) == before_input);
}

TEST_CASE("a descriptor that is not open in the host is an error that names EBADF") {
    const int number = fcntl(0, F_DUPFD_CLOEXEC, 600);
    close(number);
    std::vector<Job> jobs(5, script("exit 0"));
    jobs[0].descriptors = {{.from = number, .to = 5}};
    jobs[1].input = Input::inherit(number);
    jobs[2].output = Output::inherit(number);
    jobs[3].error_output = Output::forward(number);
    jobs[4].input = Input::descriptor(number);
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        CAPTURE(i);
        const RunResult result = proctor::run(jobs[i]);
        INFO(support::describe(result));
        CHECK(result.outcome == Outcome::error);
        REQUIRE(result.error.has_value());
        CHECK(result.error->error_number == EBADF);
    }
}
