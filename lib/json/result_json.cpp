// SPDX-License-Identifier: MIT
#include <proctor/json.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include <proctor/capture.hpp>
#include <proctor/error.hpp>
#include <proctor/result.hpp>

#include "json/json_writer.hpp"

namespace proctor {

namespace {

using detail::JsonWriter;

// Raised when a key changes its meaning or goes away. New keys do not count.
constexpr int format_version = 1;
constexpr int time_precision = 9;

template <typename Enum>
std::optional<std::string_view> word(const std::optional<Enum>& value) {
    if (!value) {
        return std::nullopt;
    }
    return to_string(*value);
}

// `errno` and `cure` are null where Error has its word for "not known".
std::optional<int> known(int error_number) {
    if (error_number == 0) {
        return std::nullopt;
    }
    return error_number;
}

std::optional<std::string_view> known(std::string_view text) {
    if (text.empty()) {
        return std::nullopt;
    }
    return text;
}

void write_verdict(JsonWriter& json, const RunResult& result) {
    json.key("proctor").number(format_version);
    json.key("outcome").text(to_string(result.outcome));
    json.key("reason").text(word(result.reason));
    json.key("verbose_reason").text(result.reason ? std::optional(verbose_reason(*result.reason)) : std::nullopt);
    json.key("returncode").number(result.returncode);
    json.key("exit_code").number(result.exit_code);
    json.key("signal").number(result.signal);
}

void write_usage(JsonWriter& json, const std::optional<Usage>& usage) {
    json.key("usage");
    if (!usage) {
        return json.null();
    }
    json.begin_object();
    json.key("wctime").seconds(usage->wctime, time_precision);
    json.key("utime").seconds(usage->utime, time_precision);
    json.key("stime").seconds(usage->stime, time_precision);
    json.key("mem").number(usage->mem);
    json.key("proc").number(usage->proc);
    json.key("mem_anon").number(usage->mem_anon);
    json.key("voluntary_switches").number(usage->voluntary_switches);
    json.key("involuntary_switches").number(usage->involuntary_switches);
    json.key("minor_faults").number(usage->minor_faults);
    json.key("major_faults").number(usage->major_faults);
    json.key("read_bytes").number(usage->read_bytes);
    json.key("written_bytes").number(usage->written_bytes);
    json.end_object();
}

void write_sources(JsonWriter& json, const Sources& sources) {
    json.key("sources").begin_object();
    json.key("engine").text(sources.engine);
    json.key("containment").text(sources.containment);
    json.key("cpu").text(sources.cpu);
    json.key("cpu_complete").boolean(sources.cpu_complete);
    json.key("mem").text(sources.mem);
    json.key("proc").text(sources.proc);
    json.key("kill").text(sources.kill);
    json.key("sample_interval").seconds(sources.sample_interval, time_precision);
    json.end_object();
}

void write_kept(JsonWriter& json, const StreamTotals& totals) {
    json.key("bytes").number(totals.bytes);
    json.key("lines").number(totals.lines);
    json.key("truncated").boolean(totals.truncated);
}

void write_output(JsonWriter& json, std::string_view name, const StreamTotals& totals) {
    json.key(name).begin_object();
    write_kept(json, totals);
    json.key("total_bytes").number(totals.total_bytes);
    json.key("total_lines").number(totals.total_lines);
    json.key("cut_by");
    if (totals.cut_by) {
        json.text(to_string(*totals.cut_by));
    } else {
        json.null();
    }
    json.end_object();
}

void write_streams(JsonWriter& json, const RunResult& result) {
    json.key("streams").begin_object();
    json.key("stdin").begin_object();
    write_kept(json, result.capture.totals(STDIN));
    json.key("unread").number(result.unread);
    json.end_object();
    write_output(json, "stdout", result.capture.totals(STDOUT));
    write_output(json, "stderr", result.capture.totals(STDERR));
    json.end_object();
}

void write_limit_events(JsonWriter& json, const LimitEvents& events) {
    json.key("limit_events").begin_object();
    json.key("crossed_at").seconds(events.crossed_at, time_precision);
    json.key("signalled_at").seconds(events.signalled_at, time_precision);
    json.key("ended_at").seconds(events.ended_at, time_precision);
    json.end_object();
}

void write_output_limit(JsonWriter& json, const std::optional<OutputLimit>& limit) {
    json.key("output_limit");
    if (!limit) {
        return json.null();
    }
    json.begin_object();
    json.key("stream").text(to_string(limit->stream));
    json.key("limit").text(to_string(limit->limit));
    json.key("offset").number(limit->offset);
    json.end_object();
}

void write_error(JsonWriter& json, const std::optional<Error>& error) {
    json.key("error");
    if (!error) {
        return json.null();
    }
    json.begin_object();
    json.key("stage").text(to_string(error->stage));
    json.key("errno").number(known(error->error_number));
    json.key("message").text(error->message);
    json.key("cure").text(known(error->cure));
    json.end_object();
}

}  // namespace

std::string to_json(const RunResult& result) {
    JsonWriter json;
    json.begin_object();
    write_verdict(json, result);
    write_usage(json, result.usage);
    write_sources(json, result.sources);
    write_streams(json, result);
    write_limit_events(json, result.limit_events);
    json.key("limit_in_grace").text(word(result.limit_in_grace));
    write_error(json, result.error);
    json.key("blocked_in").text(known(result.blocked_in));
    write_output_limit(json, result.output_limit);
    json.end_object();
    return json.take();
}

}  // namespace proctor
