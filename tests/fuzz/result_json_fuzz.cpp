// SPDX-License-Identifier: MIT
//
// Whatever bytes stand in an error's texts, the result is one line of JSON that a strict reader takes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include <simdjson.h>

#include <proctor/json.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string bytes(data, data + size);
    proctor::RunResult result;
    result.error = proctor::Error{.stage = proctor::Stage::exec,
                                  .message = bytes.substr(0, bytes.size() / 2),
                                  .cure = bytes.substr(bytes.size() / 2)};
    const std::string json = proctor::to_json(result);
    simdjson::dom::parser reader;
    simdjson::dom::element document;
    if (reader.parse(json).get(document) != simdjson::SUCCESS || json.find('\n') != std::string::npos) {
        std::abort();
    }
    return 0;
}
