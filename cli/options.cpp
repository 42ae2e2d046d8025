// SPDX-License-Identifier: MIT
//
// CLI11 holds the list of options, their help and where their values go. The words are cut and paired before it sees
// them, because its own cut is not ours: with prefix_command it rejects `-- echo x`, and it takes the `--` of
// `--result= -- true` for the file.
#include "options.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include <proctor/export.hpp>

#include "help.hpp"
#include "split_words.hpp"
#include "values.hpp"

namespace proctor::cli {

namespace {

// Thrown where CLI11 stands in between.
struct Misuse {
    Error error;
};

// --- The list of options

template <typename T, typename Store>
CLI::Option* add_value(CLI::App& app, const std::string& name, Result<T> (*parse)(std::string_view), Store store) {
    return app
        .add_option_function<std::vector<std::string>>(
            name,
            [name, parse, store](const auto& texts) {
                for (const std::string& text : texts) {
                    Result<T> value = parse(text);
                    if (!value) {
                        throw Misuse{misuse(fmt::format("{}: {}", name, value.error().message), value.error().cure)};
                    }
                    store(*value);
                }
            })
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->allow_extra_args(false);
}

Result<std::string> parse_text(std::string_view text) { return std::string(text); }

// A limit of nothing is a slip, and no limit is none given.
template <typename T, Result<T> (*Parse)(std::string_view)>
Result<T> parse_limit(std::string_view text) {
    Result<T> value = Parse(text);
    if (value && *value <= T{}) {
        return misuse(fmt::format("'{}' is zero", text), "leave the option out for no limit");
    }
    return value;
}

Result<std::chrono::nanoseconds> parse_delay(std::string_view text) {
    Result<std::chrono::nanoseconds> value = parse_duration(text);
    if (value && *value <= std::chrono::nanoseconds::zero()) {
        return misuse(fmt::format("'{}' is zero", text), "leave the option out for input that is not paced");
    }
    return value;
}

Result<int> parse_limit_count(std::string_view text) {
    constexpr int most = std::numeric_limits<int>::max();
    const Result<std::int64_t> count = parse_limit<std::int64_t, parse_count>(text);
    const bool all_digits = !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
    if (!count || *count > most) {
        const bool too_large = all_digits && (count || text.find_first_not_of('0') != std::string_view::npos);
        return misuse(too_large ? fmt::format("'{}' is too large", text) : count.error().message,
                      fmt::format("write a whole number, 1 to {}; leave the option out for no limit", most));
    }
    return static_cast<int>(*count);
}

void add_limits(CLI::App& app, RunRequest& request) {
    using std::chrono::nanoseconds;
    const std::string group = "Limits";
    RunLimits& limits = request.job.limits;
    add_value(app, "--time-limit", parse_limit<nanoseconds, parse_duration>,
              [&](const auto& value) { limits.time = value; })
        ->type_name("D")
        ->description("wall time, counted from the start of COMMAND")
        ->group(group);
    add_value(app, "--cpu-limit", parse_limit<nanoseconds, parse_duration>,
              [&](const auto& value) { limits.cpu_time = value; })
        ->type_name("D")
        ->description("processor time of all its processes together")
        ->group(group);
    add_value(app, "--block-limit", parse_limit<nanoseconds, parse_duration>,
              [&](const auto& value) { limits.block = value; })
        ->type_name("D")
        ->description("time without progress: no byte in or out, and less\nthan 1 % of a processor used")
        ->group(group);
    add_value(app, "--memory-limit", parse_limit<Bytes, parse_size>, [&](const auto& value) { limits.memory = value; })
        ->type_name("SIZE")
        ->description("memory of all its processes together")
        ->group(group);
    add_value(app, "--process-limit", parse_limit_count, [&](const auto& value) { limits.processes = value; })
        ->type_name("N")
        ->description("processes at once, COMMAND included")
        ->group(group);
    add_value(app, "--task-limit", parse_limit_count, [&](const auto& value) { limits.tasks = value; })
        ->type_name("N")
        ->description("threads and processes at once, zombies too")
        ->group(group);
    add_value(app, "--require", parse_require, [&](const auto& value) { request.job.require = value; })
        ->type_name("LIST")
        ->description(
            "fail before the start where one of these cannot be\nhad: cgroup,cpu,memory,tasks,kill (`proctor doctor`\n"
            "tells which can)")
        ->group(group);
}

void add_streams(CLI::App& app, RunRequest& request) {
    const std::string group = "Input and output";
    CaptureLimits& limits = request.job.capture.limits;
    add_value(app, "--stdin", parse_text,
              [&](const auto& path) { request.job.input = path == "-" ? Input::descriptor(0) : Input::file(path); })
        ->type_name("FILE")
        ->description("what COMMAND reads; - is proctor's own input\n(default: empty)")
        ->group(group);
    add_value(app, "--replay-input", parse_text, [&](const auto& path) { request.replay_path = path; })
        ->type_name("CAPTURE")
        ->description(
            "feed it what it read in a capture, each piece once\nit has said as much on its outputs as it had then")
        ->group(group);
    add_value(app, "--input-delay", parse_delay, [&](const auto& value) { request.job.input_delay = value; })
        ->type_name("D")
        ->description("feed it line by line, the first at once and each one\nafter that D later")
        ->group(group);
    add_value(app, "--input-pacing", parse_pacing, [&](const auto& value) { request.job.input_pacing = value; })
        ->type_name("HOW")
        ->description(
            "D is counted in a fixed beat from the first line\n(fixed, the default), or from the last byte in\neither "
            "direction (quiet)")
        ->group(group);
    add_value(app, "--stdout-lines", parse_count, [&](const auto& value) { limits.max_stdout_lines = value; })
        ->type_name("N")
        ->description("pass on the first N lines of its output; the rest is\ndropped and counted, and COMMAND goes on")
        ->group(group);
    add_value(app, "--stdout-bytes", parse_size, [&](const auto& value) { limits.max_stdout_bytes = value; })
        ->type_name("SIZE")
        ->description("the same by bytes")
        ->group(group);
    add_value(app, "--stderr-lines", parse_count, [&](const auto& value) { limits.max_stderr_lines = value; })
        ->type_name("N")
        ->description("the same for its error output")
        ->group(group);
    add_value(app, "--stderr-bytes", parse_size, [&](const auto& value) { limits.max_stderr_bytes = value; })
        ->type_name("SIZE")
        ->description("the same by bytes")
        ->group(group);
    app.add_flag("--end-at-output-limit", request.job.capture.limit_ends_run,
                 "end COMMAND when it crosses one of these four")
        ->group(group);
    add_value(app, "--order", parse_order, [&](const auto& order) { request.job.order = order; })
        ->type_name("ORDER")
        ->description(
            "order of the two outputs: pipe (default), as far as\nit can be known; exact, as it was written. Warning:\n"
            "with exact, a write larger than the socket buffer\nfails, /dev/stdout cannot be opened, Node.js prints\n"
            "nothing, and what is buffered still comes late")
        ->group(group);
    add_value(app, "--result", parse_text, [&](const auto& path) { request.result_path = path; })
        ->type_name("FILE")
        ->description(
            "write how it ended as one line of JSON, also if\nproctor failed; - is proctor's output and "
            "implies\n--quiet")
        ->group(group);
    add_value(app, "--capture", parse_text, [&](const auto& path) { request.capture_path = path; })
        ->type_name("FILE")
        ->description(
            "record what passed on its streams, and when, as lines\nof JSON that `proctor replay` plays; - is "
            "proctor's\noutput and implies --quiet")
        ->group(group);
    add_value(app, "--capture-precision", parse_precision,
              [&](const auto& digits) { request.capture_options.precision = digits; })
        ->type_name("N")
        ->description("digits of a record's seconds, 0 to 9 (default: 3)")
        ->group(group);
    app.add_flag("--quiet", request.quiet, "pass on none of its output, and tell nothing but\nproctor's own failures")
        ->group(group);
}

void add_surroundings(CLI::App& app, RunRequest& request, bool& shell) {
    const std::string group = "Surroundings";
    Job& job = request.job;
    add_value(app, "--cwd", parse_text, [&](const auto& path) { job.cwd = path; })
        ->type_name("DIR")
        ->description("the directory that it starts in")
        ->group(group);
    add_value(app, "--env", parse_variable,
              [&](const auto& variable) {
                  auto& set = job.environment.set;
                  std::erase_if(set, [&](const auto& earlier) { return earlier.first == variable.first; });
                  set.push_back(variable);
              })
        ->type_name("NAME=VALUE")
        ->description("set a variable of its environment; repeatable")
        ->group(group);
    app.add_flag_callback(
           "--clear-env", [&] { job.environment.inherit = false; }, "start from an empty environment")
        ->group(group);
    app.add_flag("--shell", shell, "COMMAND is a text for /bin/sh -c, each ARG its $1, …")->group(group);
    add_value(app, "--user", parse_user, [&](const auto& user) { job.user = user; })
        ->type_name("UID[:GID]")
        ->description("whom it runs as, without supplementary groups (needs\nroot)")
        ->group(group);
    add_value(app, "--placement", parse_placement, [&](const auto& placement) { job.placement = placement; })
        ->type_name("WHERE")
        ->description(
            "on which processors it runs: any (default); where\nproctor itself is (with-reactor); not there (apart);\n"
            "or the N-th that proctor may use, from 0 (slot:N)")
        ->group(group);
    ResourceLimits& resources = job.resource_limits;
    add_value(app, "--file-size", parse_size, [&](const auto& value) { resources.file_size = value; })
        ->type_name("SIZE")
        ->description("the largest file that it may write (RLIMIT_FSIZE)")
        ->group(group);
    add_value(app, "--open-files", parse_limit_count, [&](const auto& value) { resources.open_files = value; })
        ->type_name("N")
        ->description("open files of each process (RLIMIT_NOFILE)")
        ->group(group);
    add_value(app, "--stack", parse_limit<Bytes, parse_size>, [&](const auto& value) { resources.stack = value; })
        ->type_name("SIZE")
        ->description("its stack (RLIMIT_STACK; often 8 MiB)")
        ->group(group);
    app.add_flag("--allow-new-privileges", job.allow_new_privileges, "let set-user-ID programs such as sudo work in it")
        ->group(group);
}

void add_ending(CLI::App& app, RunRequest& request) {
    const std::string group = "Ending";
    Job& job = request.job;
    add_value(app, "--kill-after", parse_duration, [&](const auto& value) { job.kill_after = value; })
        ->type_name("D")
        ->description(
            "end all of it by SIGTERM, and who is left this much\nlater by SIGKILL (default: SIGKILL at once)")
        ->group(group);
    add_value(app, "--drain-grace", parse_duration, [&](const auto& value) { job.drain_grace = value; })
        ->type_name("D")
        ->description(
            "how long after COMMAND's death the processes that it\nleft may hold its output open (default: 100ms)")
        ->group(group);
}

void add_containment(CLI::App& app, ReactorOptions& reactor) {
    const std::string group = "Containment";
    add_value(app, "--containment", parse_containment, [&](const auto& kind) { reactor.containment = kind; })
        ->type_name("KIND")
        ->description(
            "what holds its processes together: cgroup, keeper,\ntree, or automatic: the first there is (default)")
        ->group(group);
    add_value(app, "--cgroup", parse_text, [&](const auto& path) { reactor.cgroup = path; })
        ->type_name("DIR")
        ->description("where cgroups may be made (default: found)")
        ->group(group);
    add_value(app, "--engine", parse_engine, [&](const auto& engine) { reactor.engine = engine; })
        ->type_name("ENGINE")
        ->description("what it waits with: io_uring, poll (epoll), or\nautomatic: the first there is (default)")
        ->group(group);
}

// --- Commands

// Calls CLI11, whose own complaints can only be about what split_words let through.
Result<void> parse(CLI::App& app, std::vector<std::string> options) {
    std::reverse(options.begin(), options.end());  // it takes them from the back
    try {
        app.parse(std::move(options));
    } catch (const Misuse& wrong) {
        return wrong.error;
    } catch (const CLI::ParseError& wrong) {
        return misuse(wrong.what(), help_cure(app));
    }
    return {};
}

struct IdleOption {
    std::string_view option{};
    std::string cure{};
};

// One that was given without any of those that it goes with.
std::optional<IdleOption> find_idle_option(const CLI::App& app, const ReactorOptions& reactor) {
    struct Needs {
        std::string_view option;
        std::vector<std::string_view> any_of;
    };
    const Needs all[] = {
        {"--input-pacing", {"--input-delay"}},
        {"--input-delay", {"--stdin", "--replay-input"}},
        {"--capture-precision", {"--capture"}},
        {"--end-at-output-limit", {"--stdout-lines", "--stdout-bytes", "--stderr-lines", "--stderr-bytes"}},
    };
    const auto given = [&](std::string_view name) {
        const CLI::Option* const option = app.get_option_no_throw(std::string(name));
        return option != nullptr && option->count() > 0;
    };
    for (const Needs& each : all) {
        if (given(each.option) && std::none_of(each.any_of.begin(), each.any_of.end(), given)) {
            return IdleOption{each.option, fmt::format("give {} too, or leave it out", fmt::join(each.any_of, " or "))};
        }
    }
    if (const Containment kind = reactor.containment;
        given("--cgroup") && (kind == Containment::keeper || kind == Containment::tree)) {
        return IdleOption{"--cgroup", "let --containment be cgroup or automatic, or leave it out"};
    }
    return std::nullopt;
}

Result<Request> read_run(const std::vector<std::string>& words) {
    RunRequest request;
    bool shell = false;
    bool help = false;
    CLI::App app("", "run");
    app.set_help_flag();
    add_limits(app, request);
    add_streams(app, request);
    add_surroundings(app, request, shell);
    add_ending(app, request);
    add_containment(app, request.reactor);
    app.add_flag("-h,--help", help, "show this")->group("Help");

    Result<SplitWords> split = split_words(app, words);
    if (!split) {
        return split.error();
    }
    const auto asks_for_help = [](const std::string& option) { return option == "-h" || option == "--help"; };
    if (std::any_of(split->options.begin(), split->options.end(), asks_for_help)) {
        return Request(TextRequest{run_help(app)});
    }
    if (const Result<void> parsed = parse(app, std::move(split->options)); !parsed) {
        return parsed.error();
    }

    if (request.replay_path && request.job.input.source() != Input::Source::empty) {
        return misuse("--replay-input and --stdin are both given", "give one of them");
    }
    if (const auto idle = find_idle_option(app, request.reactor)) {
        return misuse(fmt::format("{} does nothing here", idle->option), idle->cure);
    }
    request.quiet = request.quiet || request.result_path == "-" || request.capture_path == "-";
    request.job.argv = std::move(split->command);
    if (shell && !request.job.argv.empty()) {
        request.job.shell = std::move(request.job.argv.front());
        request.job.argv.erase(request.job.argv.begin());
        if (request.job.shell.empty()) {
            return misuse("--shell: the text is empty",
                          "write what /bin/sh shall do, as in: --shell 'make && ./a.out'");
        }
    }
    return Request(std::move(request));
}

Result<Request> read_replay(const std::vector<std::string>& words) {
    ReplayRequest request;
    bool help = false;
    CLI::App app("", "replay");
    app.set_help_flag();
    add_value(app, "--speed", parse_speed, [&](const auto& speed) { request.speed = speed; })
        ->type_name("X")
        ->description("times as fast as it was, such as 2 or 0.5")
        ->group("Options");
    app.add_flag("--instant", request.instant, "without any waiting")->group("Options");
    add_value(app, "--stream", parse_stream, [&](const auto& stream) { request.streams.insert(stream); })
        ->type_name("0|1|2")
        ->description(
            "play this stream alone; repeatable (default: 1 and 2).\n0, what the program read, is shown on "
            "standard output")
        ->group("Options");
    app.add_flag("-h,--help", help, "show this")->group("Help");
    Result<SplitWords> split = split_words(app, words);
    if (!split) {
        return split.error();
    }
    if (const Result<void> parsed = parse(app, std::move(split->options)); !parsed) {
        return parsed.error();
    }
    if (help) {
        return Request(TextRequest{replay_help(app)});
    }
    constexpr std::string_view usage = "write: proctor replay [options] CAPTURE; `proctor replay --help` tells more";
    if (split->command.size() != 1) {
        return misuse(split->command.empty()
                          ? "CAPTURE is missing"
                          : fmt::format("{}: replay takes one CAPTURE, as its last word", split->command.back()),
                      std::string(usage));
    }
    if (request.instant && request.speed) {
        return misuse("--instant and --speed: it cannot be both", "leave one of them out");
    }
    request.path = split->command.front();
    return Request(std::move(request));
}

Result<Request> read_doctor(const std::vector<std::string>& words) {
    DoctorRequest request;
    bool help = false;
    CLI::App app("", "doctor");
    app.set_help_flag();
    add_containment(app, request.reactor);
    app.add_flag("-h,--help", help, "show this")->group("Help");
    Result<SplitWords> split = split_words(app, words);
    if (!split) {
        return split.error();
    }
    if (!split->command.empty()) {
        return misuse(fmt::format("{}: doctor takes no such word", split->command.front()),
                      "write: proctor doctor [--containment KIND] [--cgroup DIR] [--engine ENGINE]");
    }
    if (const Result<void> parsed = parse(app, std::move(split->options)); !parsed) {
        return parsed.error();
    }
    if (help) {
        return Request(TextRequest{doctor_help(app)});
    }
    if (const auto idle = find_idle_option(app, request.reactor)) {
        return misuse(fmt::format("{} does nothing here", idle->option), idle->cure);
    }
    return Request(std::move(request));
}

}  // namespace

Result<Request> read_command_line(const std::vector<std::string>& words) {
    constexpr std::string_view usage = "write: proctor run [options] [--] COMMAND [ARG…]; `proctor --help` tells more";
    if (words.empty()) {
        return misuse("nothing to do", std::string(usage));
    }
    const std::string& first = words.front();
    if (first == "run") {
        return read_run({words.begin() + 1, words.end()});
    }
    if (first == "replay") {
        return read_replay({words.begin() + 1, words.end()});
    }
    if (first == "doctor") {
        return read_doctor({words.begin() + 1, words.end()});
    }
    if (first == "-h" || first == "--help") {
        return Request(TextRequest{general_help()});
    }
    if (first == "--version") {
        return Request(TextRequest{"proctor " PROCTOR_VERSION "\n"});
    }
    return misuse(fmt::format("{}: there is no such {}", first, first.starts_with('-') ? "option" : "command"),
                  std::string(usage));
}

}  // namespace proctor::cli
