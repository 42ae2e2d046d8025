// SPDX-License-Identifier: MIT
#include "json/capture_reader.hpp"

#include <fcntl.h>

#include <cerrno>
#include <memory>
#include <utility>

#include <proctor/capture_json.hpp>

#include "json/base64.hpp"
#include "json/json_seconds.hpp"

namespace proctor {

namespace detail {

namespace {

using simdjson::dom::element_type;

static_assert(LineSource::readable_behind >= simdjson::SIMDJSON_PADDING);

constexpr std::string_view blanks = " \t\r";
constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

// Where encoders put the time: `{"@":`, a number, and what ends it. Empty if it is not there.
std::string_view usual_time(std::string_view line) {
    constexpr std::string_view start = "{\"@\":";
    if (!line.starts_with(start)) {
        return {};
    }
    line.remove_prefix(start.size());
    const std::size_t end = line.find_first_not_of("-+.0123456789eE");
    return line.substr(0, end);
}

// How parsing ended without a place, which only these can.
std::string_view describe(simdjson::error_code code) {
    switch (code) {
        case simdjson::CAPACITY: return "the line is longer than 4 GiB";
        case simdjson::MEMALLOC: return "the line is too long for the memory that is left";
        case simdjson::NUMBER_ERROR: return "a number is too large";
        default: return "this is not JSON";
    }
}

}  // namespace

Expected<std::optional<CaptureRecord>> CaptureReader::next() {
    while (next_item_ == items_.size()) {
        const Expected<std::optional<std::string_view>> line = lines_.next();
        if (!line) {
            return tl::unexpected(line.error());
        }
        if (!*line) {
            return std::nullopt;
        }
        if (Expected<void> read = read_line(**line); !read) {
            items_.clear();
            next_item_ = 0;
            return tl::unexpected(std::move(read.error()));
        }
    }
    const Item& item = items_[next_item_++];
    CaptureRecord record{
        .time = *time_, .stream = item.stream, .data = item.text, .truncated = item.truncated, .ambiguous = ambiguous_};
    if (item.decoded_size > 0) {
        record.data = std::string_view(decoded_).substr(next_decoded_, item.decoded_size);
        next_decoded_ += item.decoded_size;
    }
    return record;
}

Expected<void> CaptureReader::rewind() {
    items_.clear();
    next_item_ = 0;
    return lines_.rewind();
}

Expected<void> CaptureReader::read_line(std::string_view line) {
    items_.clear();
    decoded_.clear();
    next_item_ = 0;
    next_decoded_ = 0;
    time_.reset();
    ambiguous_ = false;
    if (lines_.line_number() == 1 && line.starts_with(byte_order_mark)) {
        line.remove_prefix(byte_order_mark.size());
    }
    if (line.find_first_not_of(blanks) == std::string_view::npos) {
        return {};
    }
    simdjson::dom::element document;
    if (const auto code = parser_.parse(line.data(), line.size(), false).get(document); code != simdjson::SUCCESS) {
        const std::optional<JsonFault> fault = find_json_fault(line);
        return fault ? damaged(fault->offset, fault->what) : damaged(0, describe(code));
    }
    simdjson::dom::object object;
    if (document.get(object) != simdjson::SUCCESS) {
        return damaged(line.find_first_not_of(blanks), "this is no record");
    }
    return read_object(object, line);
}

Expected<void> CaptureReader::read_object(const simdjson::dom::object& object, std::string_view line) {
    std::size_t index = 0;
    for (const auto [key, value] : object) {
        if (const Done done = read_member(key, value, index, line); !done) {
            const std::size_t offset = member(index, line).offset;
            return damaged(offset, done.error());
        }
        ++index;
    }
    if (!time_) {
        return damaged(line.find_last_not_of(blanks), "the record has no time (\"@\")");
    }
    return {};
}

CaptureReader::Done CaptureReader::read_member(std::string_view key, const simdjson::dom::element& value,
                                               std::size_t index, std::string_view line) {
    if (key == "@") {
        return read_time(value, index, line);
    }
    if (key == "0" || key == "1" || key == "2") {
        return read_stream(value, static_cast<Stream>(key[0] - '0'));
    }
    if (key == "ambiguous" && value.get(ambiguous_) != simdjson::SUCCESS) {
        return tl::unexpected<std::string_view>("neither true nor false");
    }
    return {};
}

// From the text, because a double has not enough digits for nanoseconds.
CaptureReader::Done CaptureReader::read_time(const simdjson::dom::element& value, std::size_t index,
                                             std::string_view line) {
    std::string_view text;
    if (value.is_number()) {
        text = usual_time(line);
        if (index > 0 || text.empty()) {
            text = member(index, line).text;
        }
    } else if (value.get(text) != simdjson::SUCCESS) {
        return tl::unexpected<std::string_view>("the time is no number");
    }
    const auto time = parse_seconds(text);
    if (!time) {
        return tl::unexpected(time.error());
    }
    time_ = *time;
    return {};
}

CaptureReader::Done CaptureReader::read_stream(const simdjson::dom::element& value, Stream stream) {
    Item item{.stream = stream};
    switch (value.type()) {
        case element_type::NULL_VALUE: return {};
        case element_type::STRING: item.text = value.get_string().value_unsafe(); break;
        case element_type::OBJECT:
            if (const Done done = read_base64(value.get_object().value_unsafe(), item); !done) {
                return done;
            }
            break;
        case element_type::BOOL:
            item.truncated = !value.get_bool().value_unsafe();
            if (item.truncated) {
                break;
            }
            [[fallthrough]];
        default: return tl::unexpected<std::string_view>("neither a string nor false nor {\"base64\":\"…\"}");
    }
    items_.push_back(item);
    return {};
}

CaptureReader::Done CaptureReader::read_base64(const simdjson::dom::object& object, Item& item) {
    std::string_view text;
    if (object.at_key("base64").get(text) != simdjson::SUCCESS) {
        return tl::unexpected<std::string_view>("an object without \"base64\" text");
    }
    const std::size_t before = decoded_.size();
    if (!decode_base64(decoded_, text)) {
        return tl::unexpected<std::string_view>("this is not base64 in the standard alphabet, padded");
    }
    item.decoded_size = decoded_.size() - before;
    return {};
}

const JsonMember& CaptureReader::member(std::size_t index, std::string_view line) {
    list_members(line, members_);
    return members_[index];
}

tl::unexpected<Error> CaptureReader::damaged(std::size_t offset, std::string_view what) const {
    std::string message = name_ + "line " + std::to_string(lines_.line_number()) + ", column " +
                          std::to_string(offset + 1) + ": " + std::string(what);
    return failure(Stage::io, 0, std::move(message),
                   "correct that line, or leave it out; what is before it can be used");
}

}  // namespace detail

namespace {

using detail::CaptureReader;
using detail::LineSource;

std::unique_ptr<CaptureReader> open_file(const std::string& path) {
    detail::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!fd) {
        return std::make_unique<CaptureReader>(
            Error{Stage::io, errno, path + " cannot be opened", "name a file of JSON Lines that may be read"});
    }
    return std::make_unique<CaptureReader>(LineSource(detail::moved_above_stdio(std::move(fd)), path), path + ": ");
}

}  // namespace

JSONCapturePlayback::JSONCapturePlayback(std::unique_ptr<CaptureReader> reader) : reader_(std::move(reader)) {
    if (reader_->unusable()) {
        fail(*reader_->unusable());
    }
}

JSONCapturePlayback::~JSONCapturePlayback() = default;

JSONCapturePlayback JSONCapturePlayback::file(const std::string& path) { return JSONCapturePlayback(open_file(path)); }

JSONCapturePlayback JSONCapturePlayback::descriptor(int descriptor, const std::string& name) {
    return JSONCapturePlayback(std::make_unique<CaptureReader>(LineSource(descriptor, name), name + ": "));
}

JSONCapturePlayback JSONCapturePlayback::text(std::string_view lines) {
    return JSONCapturePlayback(std::make_unique<CaptureReader>(LineSource(lines), std::string()));
}

std::optional<CaptureRecord> JSONCapturePlayback::read() {
    detail::Expected<std::optional<CaptureRecord>> record = reader_->next();
    if (!record) {
        fail(std::move(record.error()));
        return std::nullopt;
    }
    return *record;
}

void JSONCapturePlayback::start_over() {
    if (reader_->unusable()) {
        return fail(*reader_->unusable());
    }
    if (detail::Expected<void> rewound = reader_->rewind(); !rewound) {
        fail(std::move(rewound.error()));
    }
}

}  // namespace proctor
