// SPDX-License-Identifier: MIT
#include "accounting/birth_watch.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <string_view>
#include <utility>

#include "accounting/proc_text.hpp"

namespace proctor::detail {

namespace {

// How fast a machine may give ids to new threads, at most: all its processors wait for one lock.
constexpr std::int64_t ids_per_second = 1'000'000;

pid_t read_number(int fd) noexcept {
    char text[32];
    const ssize_t length = ::pread(fd, text, sizeof text, 0);
    std::string_view rest(text, length > 0 ? static_cast<std::size_t>(length) : 0);
    pid_t number = 0;
    return parse_number(next_word(rest), number) ? number : 0;
}

}  // namespace

BirthWatch BirthWatch::open() noexcept {
    UniqueFd last_id(::open("/proc/sys/kernel/ns_last_pid", O_RDONLY | O_CLOEXEC));
    const UniqueFd end(::open("/proc/sys/kernel/pid_max", O_RDONLY | O_CLOEXEC));
    if (!last_id || !end) {
        return {};
    }
    return {std::move(last_id), read_number(end.get())};
}

BirthWatch::Moment BirthWatch::note_own(pid_t child) noexcept {
    ++seen_.own;
    return advance(child);
}

std::optional<BirthWatch::Moment> BirthWatch::look() noexcept {
    const pid_t last = last_id_ ? read_number(last_id_.get()) : 0;
    if (last <= 0) {
        return std::nullopt;
    }
    return advance(last);
}

BirthWatch::Moment BirthWatch::advance(pid_t last) noexcept {
    const Instant time = now();
    const Nanoseconds once_round = Nanoseconds(std::chrono::seconds(end_)) / ids_per_second;
    if (time - seen_at_ >= once_round) {
        ++seen_.era;
    }
    // The first ids are not given again, so from the greatest on this is too many.
    const pid_t step = last - seen_.last;
    seen_.given += static_cast<std::uint64_t>(step >= 0 ? step : step + end_);
    seen_.last = last;
    seen_at_ = time;
    return seen_;
}

std::optional<std::uint64_t> BirthWatch::others_between(const Moment& then, const Moment& later) noexcept {
    const std::uint64_t given = later.given - then.given;
    const std::uint64_t own = later.own - then.own;
    if (then.era != later.era || given < own) {
        return std::nullopt;
    }
    return given - own;
}

}  // namespace proctor::detail
