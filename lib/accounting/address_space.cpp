// SPDX-License-Identifier: MIT
#include "accounting/address_space.hpp"

#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "accounting/proc_text.hpp"

namespace proctor::detail {

namespace {

// Of a process whose first thread has ended, that thread's id has no memory any more; another's has.
pid_t id_with_memory(const ProcDirectory& proc, const Process& process) noexcept {
    if (!process.stat.first_thread_dead()) {
        return process.pid;
    }
    pid_t found = process.pid;
    proc.for_each_thread(process.pid, [&](pid_t thread) {
        if (found == process.pid && thread != process.pid) {
            const auto stat = read_thread_stat(proc, process.pid, thread);
            found = stat && !stat->first_thread_dead() ? thread : found;
        }
    });
    return found;
}

bool share(const ProcDirectory& proc, pid_t child, pid_t parent) noexcept {
    const auto same = same_address_space(child, parent);
    return same ? *same : looks_like_vfork(proc, child, parent);
}

// Those that lost the parent with which they may share: they may also share with each other.
class Strays {
public:
    // Whether it shares with one that was taken before. Few of them, or the comparing has no end.
    bool take(pid_t id) noexcept {
        for (std::size_t i = 0; i < count_; ++i) {
            if (same_address_space(id, ids_[i]).value_or(false)) {
                return true;
            }
        }
        if (count_ < ids_.size()) {
            ids_[count_++] = id;
        }
        return false;
    }

private:
    std::array<pid_t, 8> ids_{};
    std::size_t count_ = 0;
};

// The numbers of /proc/PID/statm, in pages.
using PageCounts = std::array<std::uint64_t, 6>;

std::optional<PageCounts> read_page_counts(const ProcDirectory& proc, pid_t id) noexcept {
    char buffer[256];
    std::string_view text = proc.read_text({id, "statm"}, buffer);
    PageCounts counts{};
    for (std::uint64_t& count : counts) {
        if (!parse_number(next_word(text), count)) {
            return std::nullopt;
        }
    }
    return counts;
}

bool has_thread_in_uninterruptible_sleep(const ProcDirectory& proc, pid_t pid) noexcept {
    bool found = false;
    proc.for_each_thread(pid, [&](pid_t thread) {
        if (!found) {
            const auto stat = read_thread_stat(proc, pid, thread);
            found = stat && stat->state == 'D';
        }
    });
    return found;
}

}  // namespace

void find_address_spaces(const ProcDirectory& proc, std::span<const Process> processes,
                         std::vector<pid_t>& ids) noexcept {
    ids.clear();
    Strays strays;
    for (const Process& process : processes) {
        if (process.stat.dead()) {
            continue;
        }
        const pid_t id = id_with_memory(proc, process);
        if (process.stat.never_executed()) {
            const Process* const parent = find_process(processes, process.stat.parent);
            const bool shares = parent != nullptr ? share(proc, id, id_with_memory(proc, *parent)) : strays.take(id);
            if (shares) {
                continue;
            }
        }
        ids.push_back(id);
    }
}

std::optional<bool> same_address_space(pid_t left, pid_t right) noexcept {
    const long order = ::syscall(SYS_kcmp, left, right, KCMP_VM, 0, 0);
    if (order >= 0) {
        return order == 0;
    }
    return errno == ESRCH ? std::optional(false) : std::nullopt;
}

bool looks_like_vfork(const ProcDirectory& proc, pid_t child, pid_t parent) noexcept {
    if (!has_thread_in_uninterruptible_sleep(proc, parent)) {
        return false;
    }
    const auto before = read_page_counts(proc, parent);
    const auto between = read_page_counts(proc, child);
    const auto after = read_page_counts(proc, parent);
    if (!before || !between || !after) {
        return false;
    }
    for (std::size_t i = 0; i < between->size(); ++i) {
        const auto [least, most] = std::minmax((*before)[i], (*after)[i]);
        if ((*between)[i] < least || (*between)[i] > most) {
            return false;
        }
    }
    return true;
}

}  // namespace proctor::detail
