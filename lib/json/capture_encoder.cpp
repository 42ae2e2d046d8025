// SPDX-License-Identifier: MIT
#include <proctor/capture_json.hpp>

#include <cerrno>

#include <simdjson.h>

#include "json/base64.hpp"
#include "json/json_writer.hpp"

namespace proctor {

Result<JSONCaptureEncoder> JSONCaptureEncoder::create(const JSONCaptureOptions& options) {
    if (options.precision < 0 || options.precision > 9) {
        return Error{Stage::setup, EINVAL,
                     "a precision of " + std::to_string(options.precision) + " digits cannot be had",
                     "give 0 to 9: times are kept in nanoseconds"};
    }
    return JSONCaptureEncoder(options);
}

void JSONCaptureEncoder::encode(const CaptureRecord& record, std::string& out) {
    last_time_ = record.time;
    if (record.truncated) {
        release(record.stream, record.time, out);
        return write(record, out);
    }
    if (record.data.empty()) {
        return write(record, out);
    }
    Kept& kept = kept_[record.stream];
    CaptureRecord whole = record;
    if (kept.size > 0) {
        joined_.assign(kept.bytes.data(), kept.size).append(record.data);
        whole.data = joined_;
        whole.ambiguous = record.ambiguous || kept.ambiguous;
    }
    kept.size = detail::incomplete_tail(whole.data);
    whole.data.substr(whole.data.size() - kept.size).copy(kept.bytes.data(), kept.size);
    whole.data.remove_suffix(kept.size);
    kept.ambiguous = whole.data.empty() && whole.ambiguous;
    if (!whole.data.empty()) {
        write(whole, out);
    }
}

void JSONCaptureEncoder::finish(std::string& out) {
    for (const Stream stream : {STDIN, STDOUT, STDERR}) {
        release(stream, last_time_, out);
    }
    last_time_ = {};
}

void JSONCaptureEncoder::release(Stream stream, std::chrono::nanoseconds time, std::string& out) {
    Kept& kept = kept_[stream];
    if (kept.size > 0) {
        write({.time = time,
               .stream = stream,
               .data = {kept.bytes.data(), kept.size},
               .truncated = false,
               .ambiguous = kept.ambiguous},
              out);
    }
    kept = {};
}

void JSONCaptureEncoder::write(const CaptureRecord& record, std::string& out) const {
    out += "{\"@\":";
    detail::append_json_seconds(out, record.time, options_.precision);
    out += ",\"";
    out += static_cast<char>('0' + record.stream);
    out += "\":";
    if (record.truncated) {
        out += "false";
    } else if (simdjson::validate_utf8(record.data.data(), record.data.size())) {
        detail::append_json_utf8(out, record.data, options_.ensure_ascii);
    } else {
        out += "{\"base64\":\"";
        detail::append_base64(out, record.data);
        out += "\"}";
    }
    out += record.ambiguous ? ",\"ambiguous\":true}\n" : "}\n";
}

}  // namespace proctor
