// SPDX-License-Identifier: MIT
//
// Whatever passes on the streams, in whichever pieces, a recorder keeps, counts and cuts it as the model does, in
// memory and in the spool.
//
// An input can be written by hand. Five characters tell the limits: lines and bytes of standard output, lines and bytes
// of standard error, and the memory. '-' is none, '0' is 0, '1' is 1, and so on through the characters. Then come
// pieces: the stream's digit, the length and the time as characters like those, and the data.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "../capture_model.hpp"
#include "require.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

class Reader {
public:
    Reader(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

    [[nodiscard]] bool at_end() const { return rest_.empty(); }

    std::string_view take(std::size_t size) {
        const std::string_view taken = rest_.substr(0, size);
        rest_.remove_prefix(taken.size());
        return taken;
    }
    unsigned number() {
        const std::string_view taken = take(1);
        return taken.empty() ? 0 : static_cast<unsigned char>(taken[0] - '0');
    }
    std::optional<std::int64_t> limit() {
        const unsigned value = number();
        return value == static_cast<unsigned char>('-' - '0') ? std::nullopt : std::optional<std::int64_t>(value);
    }

private:
    std::string_view rest_;
};

capture_model::Piece read_piece(Reader& reader) {
    capture_model::Piece piece;
    piece.stream = static_cast<proctor::Stream>(reader.number() % 3);
    const unsigned size = reader.number();
    piece.time = std::chrono::nanoseconds(reader.number());
    piece.data = reader.take(size);
    return piece;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Reader reader(data, size);
    capture_model::Case chosen;
    chosen.limits.max_stdout_lines = reader.limit();
    chosen.limits.max_stdout_bytes = reader.limit();
    chosen.limits.max_stderr_lines = reader.limit();
    chosen.limits.max_stderr_bytes = reader.limit();
    chosen.max_size = reader.limit().value_or(1'000'000);
    while (!reader.at_end()) {
        chosen.pieces.push_back(read_piece(reader));
    }
    require(capture_model::check(chosen).empty());
    return 0;
}
