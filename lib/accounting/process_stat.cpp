// SPDX-License-Identifier: MIT
#include "accounting/process_stat.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "accounting/proc_text.hpp"
#include "base/unique_fd.hpp"

namespace proctor::detail {

namespace {

// Numbers after a name of at most 64 bytes: never near it.
constexpr std::size_t stat_size_max = 1024;

Nanoseconds from_ticks(std::int64_t ticks, long ticks_per_second) noexcept {
    const std::int64_t tick = 1'000'000'000 / ticks_per_second;
    return Nanoseconds(std::clamp<std::int64_t>(ticks, 0, Nanoseconds::max().count() / tick) * tick);
}

// Takes the fields of a stat line one after another.
class Fields {
public:
    explicit Fields(std::string_view rest) noexcept : rest_(rest) {}

    std::string_view word() noexcept { return next_word(rest_); }
    void skip(int count) noexcept {
        for (int i = 0; i < count; ++i) {
            word();
        }
    }
    template <typename Number>
    void number(Number& value) noexcept {
        good_ = parse_number(word(), value) && good_;
    }
    void time(Nanoseconds& value, long ticks_per_second) noexcept {
        std::int64_t ticks = 0;
        number(ticks);
        value = from_ticks(ticks, ticks_per_second);
    }
    [[nodiscard]] bool good() const noexcept { return good_; }

private:
    std::string_view rest_;
    bool good_ = true;
};

}  // namespace

std::optional<ProcessStat> parse_process_stat(std::string_view text, long ticks_per_second) noexcept {
    const std::size_t name_end = text.rfind(')');
    if (name_end == std::string_view::npos) {
        return std::nullopt;
    }
    ProcessStat stat;
    Fields fields(text.substr(name_end + 1));
    const std::string_view state = fields.word();
    fields.number(stat.parent);
    fields.number(stat.group);
    fields.number(stat.session);
    fields.skip(2);  // tty_nr, tpgid
    fields.number(stat.flags);
    fields.skip(4);  // minflt, cminflt, majflt, cmajflt
    fields.time(stat.utime, ticks_per_second);
    fields.time(stat.stime, ticks_per_second);
    fields.time(stat.waited_utime, ticks_per_second);
    fields.time(stat.waited_stime, ticks_per_second);
    fields.skip(2);  // priority, nice
    fields.number(stat.threads);
    fields.skip(1);  // itrealvalue
    fields.number(stat.start_time);
    if (state.size() != 1 || !fields.good()) {
        return std::nullopt;
    }
    stat.state = state.front();
    return stat;
}

std::optional<ProcessStat> read_process_stat(const ProcDirectory& proc, pid_t pid) noexcept {
    char buffer[stat_size_max];
    return parse_process_stat(proc.read_text({pid, "stat"}, buffer), proc.ticks_per_second());
}

std::optional<ProcessStat> read_thread_stat(const ProcDirectory& proc, pid_t pid, pid_t thread) noexcept {
    char buffer[stat_size_max];
    return parse_process_stat(proc.read_text({pid, thread, "stat"}, buffer), proc.ticks_per_second());
}

std::optional<ProcessStat> read_process_stat(pid_t pid) noexcept {
    char buffer[stat_size_max];
    const UniqueFd file(::open(ProcPath(pid, "stat").absolute(), O_RDONLY | O_CLOEXEC));
    const ssize_t length = file ? ::read(file.get(), buffer, sizeof buffer) : -1;
    if (length <= 0) {
        return std::nullopt;
    }
    return parse_process_stat({buffer, static_cast<std::size_t>(length)}, ::sysconf(_SC_CLK_TCK));
}

}  // namespace proctor::detail
