// SPDX-License-Identifier: MIT
#include "reactor_jobs.hpp"

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include <proctor/proctor.hpp>

namespace bench {

namespace {

proctor::Reactor make_reactor(std::size_t at_once) {
    auto reactor = proctor::Reactor::create({.max_running = static_cast<unsigned>(at_once)});
    if (!reactor) {
        std::ostringstream text;
        text << reactor.error();
        throw std::runtime_error(text.str());
    }
    return *std::move(reactor);
}

class ReactorJobs final : public Contender {
public:
    explicit ReactorJobs(const Workload& workload) : workload_(workload), reactor_(make_reactor(workload.at_once)) {}

    void run(std::size_t jobs) override {
        to_submit_ = jobs;
        for (std::size_t first = std::min(jobs, workload_.at_once); first > 0; --first) {
            submit_next();
        }
        if (const auto done = reactor_.run(); !done) {
            throw std::runtime_error(done.error().message);
        }
        if (!complaint_.empty()) {
            throw std::runtime_error(complaint_);
        }
    }

private:
    void submit_next() {
        --to_submit_;
        reactor_.submit({.argv = {workload_.program}}, [this](proctor::RunResult&& result) {
            check(result);
            if (to_submit_ > 0) {
                submit_next();
            }
        });
    }

    void check(const proctor::RunResult& result) {
        const bool right = result.passed() && result.capture.text(proctor::STDOUT) == workload_.expected_output &&
                           result.capture.text(proctor::STDERR).empty();
        if (!right && complaint_.empty()) {
            complaint_ = proctor::to_json(result) + ", stdout '" + result.capture.text(proctor::STDOUT) +
                         "', stderr '" + result.capture.text(proctor::STDERR) + "'";
        }
    }

    Workload workload_;
    proctor::Reactor reactor_;
    std::size_t to_submit_ = 0;
    std::string complaint_{};  // about the first job that was not right: no exception may leave a handler
};

}  // namespace

std::unique_ptr<Contender> make_reactor_jobs(const Workload& workload) {
    return std::make_unique<ReactorJobs>(workload);
}

}  // namespace bench
