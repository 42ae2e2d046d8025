// SPDX-License-Identifier: MIT
#include "accounting/describe_waits.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "accounting/process_stat.hpp"
#include "accounting/wait_words.hpp"

namespace proctor::detail {

namespace {

constexpr int threads_max = 1000;

struct Group {
    bool whole_process = false;  // each a process of one thread
    std::string words{};
    int count = 0;
};

std::string_view link_of(const ProcDirectory& proc, pid_t pid, int descriptor, std::span<char> buffer) {
    const std::string file = "fd/" + std::to_string(descriptor);
    return proc.read_link({pid, file}, buffer);
}

// A kind alone: a path may be long, hold anything, and say what is nobody's business.
std::string_view kind_of(std::string_view link) {
    const auto begins = [&](std::string_view beginning) { return link.substr(0, beginning.size()) == beginning; };
    if (begins("pipe:")) return "a pipe";
    if (begins("socket:")) return "a socket";
    if (begins("/dev/pts/") || begins("/dev/tty") || begins("/dev/console")) return "a terminal";
    if (begins("anon_inode:")) return "an event descriptor";
    if (begins("/dev/")) return "a device";
    return begins("/") ? "a file" : "";
}

// One look at some processes.
class Look {
public:
    Look(const ProcDirectory& proc, pid_t main_process) : proc_(proc), main_process_(main_process) {}

    void at_process(pid_t pid) {
        const auto stat = read_process_stat(proc_, pid);
        if (!stat) {
            return;
        }
        if (stat->dead()) {
            count(true, std::string(words_for_state(stat->state)));
            return;
        }
        const bool whole_process = stat->threads == 1;
        proc_.for_each_thread(pid, [&](pid_t thread) { at_thread(pid, thread, whole_process); });
    }

    [[nodiscard]] std::string sentence() {
        std::stable_sort(groups_.begin(), groups_.end(),
                         [](const Group& left, const Group& right) { return left.count > right.count; });
        std::string text;
        for (const Group& group : groups_) {
            const std::string_view unit = group.whole_process ? " process" : " thread";
            const std::string_view plural = group.count == 1 ? " " : group.whole_process ? "es " : "s ";
            text += text.empty() ? "" : ", ";
            text += std::to_string(group.count);
            text += unit;
            text += plural;
            text += group.words;
        }
        if (left_out_ > 0) {
            text += ", and " + std::to_string(left_out_) + " more";
        }
        return text.empty() ? "no process is left" : text;
    }

private:
    void at_thread(pid_t pid, pid_t thread, bool whole_process) {
        if (looked_at_ == threads_max) {
            ++left_out_;
            return;
        }
        const auto stat = read_thread_stat(proc_, pid, thread);
        if (!stat || stat->is_io_worker()) {
            return;
        }
        ++looked_at_;
        // A first thread that has ended stays listed, and does nothing.
        const bool ended = stat->first_thread_dead() && !whole_process;
        if (!ended) {
            count(whole_process, words(pid, thread, stat->state));
        }
    }

    std::string words(pid_t pid, pid_t thread, char state) {
        if (const std::string_view known = words_for_state(state); !known.empty()) {
            return std::string(known);
        }
        char buffer[256];
        const std::string_view text = proc_.read_text({pid, thread, "syscall"}, buffer);
        if (text.substr(0, 7) == "running") {
            return "running";
        }
        const auto call = parse_system_call(text);
        if (call && call->is_native && call->number >= 0) {
            const auto descriptor = awaited_descriptor(*call);
            return words_for_call(*call, descriptor ? name(pid, *descriptor) : std::string());
        }
        const std::string_view function = proc_.read_text({pid, thread, "wchan"}, buffer);
        const bool says_something = !function.empty() && function != "0";
        return call && !says_something ? words_for_call(*call, {}) : words_for_function(function);
    }

    std::string name(pid_t pid, int descriptor) {
        char buffer[256];
        const std::string_view link = link_of(proc_, pid, descriptor, buffer);
        if (descriptor >= 0 && descriptor <= 2) {
            char main_buffer[256];
            const std::string_view main_link = link_of(proc_, main_process_, descriptor, main_buffer);
            const bool same = link == main_link || link.empty() || main_link.empty();
            if (same) {
                constexpr std::string_view names[] = {"stdin", "stdout", "stderr"};
                return std::string(names[descriptor]);
            }
        }
        const std::string number = "descriptor " + std::to_string(descriptor);
        const std::string_view kind = kind_of(link);
        return kind.empty() ? number : std::string(kind) + " (" + number + ")";
    }

    void count(bool whole_process, std::string words) {
        for (Group& group : groups_) {
            if (group.whole_process == whole_process && group.words == words) {
                ++group.count;
                return;
            }
        }
        groups_.push_back({whole_process, std::move(words), 1});
    }

    const ProcDirectory& proc_;
    pid_t main_process_;
    std::vector<Group> groups_{};
    int looked_at_ = 0;
    int left_out_ = 0;
};

}  // namespace

std::string describe_waits(const ProcDirectory& proc, std::span<const pid_t> processes) {
    Look look(proc, processes.empty() ? 0 : processes.front());
    for (const pid_t pid : processes) {
        look.at_process(pid);
    }
    return look.sentence();
}

}  // namespace proctor::detail
