// SPDX-License-Identifier: MIT
//
// Whatever stands in a file, the reader gives records, or an error with its place; and what it gave can be written and
// read again with the same bytes on each stream.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include <proctor/capture_json.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    auto encoder = proctor::JSONCaptureEncoder::create({.precision = 9, .ensure_ascii = size % 2 == 0});
    auto playback = proctor::JSONCapturePlayback::text(std::string(data, data + size));
    std::array<std::string, 3> bytes;
    std::string lines;
    for (const proctor::CaptureRecord& record : playback) {
        bytes[record.stream] += record.data;
        encoder->encode(record, lines);
    }
    encoder->finish(lines);
    if (playback.error() && (playback.error()->message.find("line ") == std::string::npos ||
                             playback.error()->message.find(", column ") == std::string::npos)) {
        std::abort();
    }

    std::array<std::string, 3> again;
    auto copy = proctor::JSONCapturePlayback::text(lines);
    for (const proctor::CaptureRecord& record : copy) {
        again[record.stream] += record.data;
    }
    if (copy.error() || again != bytes) {
        std::abort();
    }
    return 0;
}
