// SPDX-License-Identifier: MIT
#include "driver.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <random>
#include <system_error>

#include <simdjson.h>

#include "vfork_child.hpp"
#include "workloads.hpp"

namespace compare {

namespace {

using namespace std::chrono_literals;

constexpr auto longest_measurement = 120s;

bool chosen(const std::vector<std::string>& names, const std::string& name) {
    return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
}

// What a process has printed, and how it ended.
struct Finished {
    std::string output{};
    int status = 0;
    bool timed_out = false;
};

// Reads until end of file; false if that takes too long.
bool read_all(int fd, std::string& text) {
    const auto deadline = std::chrono::steady_clock::now() + longest_measurement;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd polled{fd, POLLIN, 0};
        if (left <= 0ms || ::poll(&polled, 1, static_cast<int>(left.count())) == 0) {
            return false;
        }
        char buffer[4096];
        const ssize_t count = ::read(fd, buffer, sizeof buffer);
        if (count <= 0) {
            return true;
        }
        text.append(buffer, static_cast<std::size_t>(count));
    }
}

Finished run_self(const std::vector<std::string>& words) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) < 0) {
        throw_errno("pipe2");
    }
    std::vector<std::string> argv = words;
    argv.insert(argv.begin(), "/proc/self/exe");
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    pid_t pid = -1;
    const int error_number =
        ::posix_spawn(&pid, argv[0].c_str(), &actions, nullptr, pointers_to(argv).data(), ::environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    if (error_number != 0) {
        throw std::system_error(error_number, std::generic_category(), "posix_spawn");
    }
    Finished finished;
    finished.timed_out = !read_all(ends[0], finished.output);
    ::close(ends[0]);
    if (finished.timed_out) {
        ::kill(pid, SIGKILL);
    }
    ::waitpid(pid, &finished.status, 0);
    return finished;
}

void add_figures(Cell& cell, const std::string& json) {
    simdjson::dom::parser parser;
    const simdjson::dom::object object = parser.parse(json).get_object();
    for (const auto& field : object) {
        const std::string name(field.key);
        if (name == "unavailable") {
            cell.unavailable = std::string(field.value.get_string().value());
        } else {
            cell.figures[name].push_back(field.value.get_double().value());
        }
    }
}

void measure_into(Cell& cell, const std::string& workload, const std::string& peer, bool quick) {
    std::vector<std::string> words{"--measure", workload, peer};
    if (quick) {
        words.emplace_back("--quick");
    }
    const Finished finished = run_self(words);
    if (finished.timed_out) {
        cell.failure = "it took too long";
    } else if (finished.status != 0) {
        cell.failure = "wait status " + std::to_string(finished.status);
    } else {
        try {
            add_figures(cell, finished.output);
        } catch (const std::exception& wrong) {
            cell.failure = std::string(wrong.what()) + ": " + finished.output;
        }
    }
    if (!cell.failure.empty()) {
        std::fprintf(stderr, "FAILED: %s, %s: %s\n", workload.c_str(), peer.c_str(), cell.failure.c_str());
    }
}

Results empty_results(const Plan& plan) {
    Results results;
    for (const Workload& workload : all_workloads()) {
        if (!chosen(plan.workloads, workload.name)) {
            continue;
        }
        Results::Table table{workload.name, {}};
        for (const Contender& contender : all_contenders()) {
            if (chosen(plan.peers, contender.name) && (workload.of_lines || !contender.for_lines_alone)) {
                table.rows.push_back({contender.name, {}});
            }
        }
        results.tables.push_back(std::move(table));
    }
    return results;
}

void say(int round, const Plan& plan, const std::string& workload) {
    if (::isatty(STDERR_FILENO) != 0) {
        std::fprintf(stderr, "\r\033[Kround %d of %d: %s", round, plan.rounds, workload.c_str());
    }
}

}  // namespace

bool Results::failed() const {
    return std::any_of(tables.begin(), tables.end(), [](const Table& table) {
        return std::any_of(table.rows.begin(), table.rows.end(),
                           [](const Row& row) { return !row.cell.failure.empty(); });
    });
}

Results run_plan(const Plan& plan) {
    Results results = empty_results(plan);
    std::mt19937 random(std::random_device{}());
    for (int round = 1; round <= plan.rounds; ++round) {
        for (Results::Table& table : results.tables) {
            say(round, plan, table.workload);
            std::vector<Results::Row*> turn;
            for (Results::Row& row : table.rows) {
                turn.push_back(&row);
            }
            std::shuffle(turn.begin(), turn.end(), random);
            for (Results::Row* const row : turn) {
                // It would say the same again.
                if (row->cell.unavailable.empty()) {
                    measure_into(row->cell, table.workload, row->peer, plan.quick);
                }
            }
        }
    }
    say(plan.rounds, plan, "done\n");
    return results;
}

}  // namespace compare
