// SPDX-License-Identifier: MIT
#include "kept_job.hpp"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

namespace support {

using proctor::detail::Keeper;
using proctor::detail::KeeperMessage;

namespace {

template <typename T>
T value_of(proctor::detail::Expected<T> expected) {
    if (!expected) {
        std::ostringstream text;
        text << expected.error();
        throw std::runtime_error(text.str());
    }
    return std::move(*expected);
}

}  // namespace

std::string keeper_path() {
    const char* const path = std::getenv("PROCTOR_KEEPER");
    return path == nullptr ? "" : path;
}

std::string copy_keeper(const TempDir& dir) { return dir.write("keeper", read_file(keeper_path()), 0755); }

bool readable(int fd, int milliseconds) {
    pollfd entry{fd, POLLIN, 0};
    int ready = 0;
    do {
        ready = poll(&entry, 1, milliseconds);
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

proctor::Job as_nobody(const TempDir& dir, std::string_view words) {
    proctor::Job job = script(words);
    job.argv[0] = dir.copy_child("child");
    job.user = proctor::User{.uid = nobody};
    return job;
}

KeptJob::KeptJob(proctor::Job job, const proctor::detail::KeeperProgram& keeper)
    : job_(std::move(job)), null_(value_of(proctor::detail::NullDevice::open())) {
    setup_ = value_of(proctor::detail::set_up_stdio(job_, null_, false));
    slot_ = value_of(launcher_.acquire());
    auto child = value_of(launcher_.launch_in_keeper(job_, *slot_, setup_.moves, keeper));
    setup_.childs.clear();
    keeper_ = proctor::detail::ChildProcess(child.keeper.pid, std::move(child.keeper.pidfd), false);
    control_ = std::move(child.control);
}

KeptJob::~KeptJob() {
    control_.close();
    if (keeper_) (void)keeper_.reap();
    launcher_.wait_until_unoccupied(std::chrono::seconds(10));
}

bool KeptJob::await(std::uint32_t news) {
    KeeperMessage message;
    while ((told_ & news) == 0) {
        if (!readable(control_.socket())) return false;
        const Keeper::Received received = control_.receive(message);
        if (received == Keeper::Received::closed) return false;
        if (received == Keeper::Received::nothing) continue;
        report_ = message.report;
        told_ |= report_.news;
        if (message.pidfd) pidfd_ = std::move(message.pidfd);
        slot_->adopt(report_);
    }
    return true;
}

std::optional<proctor::Error> KeptJob::error() {
    (void)await(proctor::detail::keeper_started | proctor::detail::keeper_failed | proctor::detail::keeper_refused);
    while (slot_->occupied()) std::this_thread::yield();
    return slot_->child_error(job_);
}

int KeptJob::signal_main(int number) const {
    return syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0) < 0 ? -errno : 0;
}

}  // namespace support
