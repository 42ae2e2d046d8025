// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <simdjson.h>

#include <proctor/capture.hpp>

#include "base/failure.hpp"
#include "json/json_fault.hpp"
#include "json/line_source.hpp"

namespace proctor::detail {

/// Reads records from JSON Lines. A line gives its records only if all of it is right.
class CaptureReader {
public:
    /// `name` goes before each message about a line.
    CaptureReader(LineSource lines, std::string name) : lines_(std::move(lines)), name_(std::move(name)) {}
    /// One that cannot be read, for this reason.
    explicit CaptureReader(Error error) : lines_(std::string_view()), unusable_(std::move(error)) {}

    [[nodiscard]] const std::optional<Error>& unusable() const noexcept { return unusable_; }
    /// The next record, valid until the next call.
    [[nodiscard]] Expected<std::optional<CaptureRecord>> next();
    [[nodiscard]] Expected<void> rewind();

private:
    // What came of one of the keys "0", "1" and "2"; its bytes are the parser's, or the next of decoded_.
    struct Item {
        Stream stream = STDOUT;
        bool truncated = false;
        std::string_view text{};
        std::size_t decoded_size = 0;
    };
    // Their errors are what is wrong with a value.
    using Done = tl::expected<void, std::string_view>;

    [[nodiscard]] Expected<void> read_line(std::string_view line);
    [[nodiscard]] Expected<void> read_object(const simdjson::dom::object& object, std::string_view line);
    [[nodiscard]] Done read_member(std::string_view key, const simdjson::dom::element& value, std::size_t index,
                                   std::string_view line);
    [[nodiscard]] Done read_time(const simdjson::dom::element& value, std::size_t index, std::string_view line);
    [[nodiscard]] Done read_stream(const simdjson::dom::element& value, Stream stream);
    [[nodiscard]] Done read_base64(const simdjson::dom::object& object, Item& item);
    [[nodiscard]] const JsonMember& member(std::size_t index, std::string_view line);
    [[nodiscard]] tl::unexpected<Error> damaged(std::size_t offset, std::string_view what) const;

    LineSource lines_;
    std::string name_{};
    std::optional<Error> unusable_{};
    simdjson::dom::parser parser_{};
    std::vector<JsonMember> members_{};
    std::vector<Item> items_{};
    std::size_t next_item_ = 0;
    std::string decoded_{};
    std::size_t next_decoded_ = 0;
    std::optional<std::chrono::nanoseconds> time_{};
    bool ambiguous_ = false;
};

}  // namespace proctor::detail
