// SPDX-License-Identifier: MIT
#include "help.hpp"

#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include <proctor/export.hpp>

namespace proctor::cli {

namespace {

constexpr std::string_view general_text =
    R"(proctor runs a program within limits and says how it ended.

Usage: proctor run [options] [--] COMMAND [ARG...]
       proctor run --help
       proctor replay [options] CAPTURE
       proctor doctor [options]
       proctor --version

Example: end a program after two seconds, and keep the verdict
  proctor run --time-limit 2 --result verdict.json -- ./solution
)";

constexpr std::string_view run_head =
    R"(Usage: proctor run [options] [--] COMMAND [ARG...]

Runs COMMAND, passes on what it writes, ends it when it crosses a limit, and
ends with it what it left behind. Options stop at COMMAND.
)";

constexpr std::string_view replay_head =
    R"(Usage: proctor replay [options] CAPTURE

Plays what `proctor run --capture` recorded, in its own time: what the program
wrote to standard output and to standard error goes there again. On a terminal
colours tell them apart (unless NO_COLOR is set). CAPTURE is a file of JSON
Lines, or - for standard input.
)";

constexpr std::string_view replay_tail = R"(
Exit status:
  0      all of it was played
  125    proctor could not do its part: a wrong option, or a file that is
         damaged; what is before the damaged line is played
  128+N  proctor was told to stop by signal N, or nobody reads any more (141)

Example: what happened, ten times as fast
  proctor run --capture c.jsonl -- ./solution; proctor replay --speed 10 c.jsonl
)";

constexpr std::string_view doctor_head =
    R"(Usage: proctor doctor [options]

Tells, a line each, what this machine offers, what is used, what is missing and
how to get it. The exit status is 0 if programs can be run, else 125.
)";

constexpr std::string_view run_tail = R"(
D     seconds as 1.5; a number with us, ms, s, m or h; 1:30; or 1:02:03
SIZE  bytes as 4096; with k, K, M, G or T (times 1000; B may follow);
      or with KiB, MiB, GiB or TiB (times 1024)

Exit status:
  124    a limit ended it
  125    proctor could not do its part; a wrong option is such a case
  126    COMMAND was found but cannot be run
  127    COMMAND was not found
  128+N  signal N ended COMMAND, or proctor was told to stop by signal N: at
         SIGINT, SIGTERM or (unless ignored, as nohup does) SIGHUP it kills
         COMMAND's processes and still writes the result
  else   COMMAND's own
A line on standard error tells every ending but success; --quiet tells failures
of proctor alone.

Examples:
  proctor run --time-limit 2 -- ./solution
  printf '2 3\n' | proctor run --stdin - --result r.json -- python3 add.py
  proctor run --shell --stdout-bytes 64KiB 'make test 2>&1 | tail -n "$1"' 20
)";

}  // namespace

std::string general_help() { return std::string(general_text); }

namespace {

std::string options_of(const CLI::App& app) {
    CLI::Formatter formatter;
    formatter.column_width(27);
    std::string text;
    for (const std::string& group : app.get_groups()) {
        const std::vector<const CLI::Option*> options =
            app.get_options([&](const CLI::Option* option) { return option->get_group() == group; });
        if (!options.empty()) {
            text += formatter.make_group(group, false, options);
        }
    }
    return text;
}

}  // namespace

std::string run_help(const CLI::App& app) { return std::string(run_head) + options_of(app).append(run_tail); }

std::string replay_help(const CLI::App& app) { return std::string(replay_head) + options_of(app).append(replay_tail); }

std::string doctor_help(const CLI::App& app) { return std::string(doctor_head) + options_of(app); }

}  // namespace proctor::cli
