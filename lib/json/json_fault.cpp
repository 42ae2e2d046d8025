// SPDX-License-Identifier: MIT
#include "json/json_fault.hpp"

#include <cstdint>

#include "json/digit.hpp"
#include "json/json_writer.hpp"

namespace proctor::detail {

namespace {

constexpr bool blank(char byte) { return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r'; }
constexpr bool hex_digit(char byte) {
    return is_digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

// As deep as simdjson goes.
constexpr int most_depth = 1024;

// Each step answers whether the text can go on behind it; if not, `place_` is where it cannot.
class Checker {
public:
    explicit Checker(std::string_view text) : text_(text) {}

    std::optional<JsonFault> check() {
        bool good = value(most_depth);
        if (good) {
            skip_blanks();
            good = at_end() || stop("something follows the record");
        }
        return good ? std::nullopt : std::optional(JsonFault{place_, what_});
    }

private:
    [[nodiscard]] bool at_end() const { return place_ == text_.size(); }

    bool stop(std::string_view what) {
        what_ = at_end() ? "the line ends within a record" : what;
        return false;
    }

    void skip_blanks() {
        while (!at_end() && blank(text_[place_])) {
            ++place_;
        }
    }

    bool take(char byte) {
        if (at_end() || text_[place_] != byte) {
            return false;
        }
        ++place_;
        return true;
    }

    bool word(std::string_view expected) {
        for (const char byte : expected) {
            if (!take(byte)) {
                return stop("this is not JSON");
            }
        }
        return true;
    }

    bool value(int depth) {
        skip_blanks();
        if (at_end() || depth == 0) {
            return stop("this is nested too deeply");
        }
        switch (text_[place_]) {
            case '{': return list('}', depth);
            case '[': return list(']', depth);
            case '"': return string();
            case 't': return word("true");
            case 'f': return word("false");
            case 'n': return word("null");
            default: return number();
        }
    }

    bool list(char closing, int depth) {
        ++place_;
        skip_blanks();
        if (take(closing)) {
            return true;
        }
        for (;;) {
            if (closing == '}' && !key()) {
                return false;
            }
            if (!value(depth - 1)) {
                return false;
            }
            skip_blanks();
            if (take(closing)) {
                return true;
            }
            if (!take(',')) {
                return stop(closing == '}' ? "a comma or } is missing" : "a comma or ] is missing");
            }
        }
    }

    bool key() {
        skip_blanks();
        if (at_end() || text_[place_] != '"') {
            return stop("a key in quotation marks is missing");
        }
        if (!string()) {
            return false;
        }
        skip_blanks();
        return take(':') || stop("a colon is missing");
    }

    bool string() {
        ++place_;
        for (;;) {
            place_ += plain_length(text_.substr(place_));
            if (take('"')) {
                return true;
            }
            if (take('\\')) {
                if (!escape()) {
                    return false;
                }
                continue;
            }
            if (at_end() || static_cast<unsigned char>(text_[place_]) < 0x20) {
                return stop("a control character stands in a string");
            }
            const Utf8Character character = first_character(text_.substr(place_));
            if (!character.valid) {
                return stop("this is not UTF-8");
            }
            place_ += character.length;
        }
    }

    bool escape() {
        constexpr std::string_view letters = "\"\\/bfnrt";
        if (take('u')) {
            return unit();
        }
        if (at_end() || letters.find(text_[place_]) == std::string_view::npos) {
            return stop("there is no such escape");
        }
        ++place_;
        return true;
    }

    bool hex(std::uint32_t& code) {
        for (int i = 0; i < 4; ++i, ++place_) {
            if (at_end() || !hex_digit(text_[place_])) {
                return stop("an escape has four hexadecimal digits");
            }
            const char byte = text_[place_];
            code = code << 4 | static_cast<std::uint32_t>(is_digit(byte) ? byte - '0' : (byte | 0x20) - 'a' + 10);
        }
        return true;
    }

    bool unit() {
        std::uint32_t code = 0;
        if (!hex(code)) {
            return false;
        }
        if (code < 0xd800 || code > 0xdfff) {
            return true;
        }
        std::uint32_t low = 0;
        if (code > 0xdbff || !take('\\') || !take('u')) {
            return stop("half of a pair of escapes is missing");
        }
        if (!hex(low)) {
            return false;
        }
        return (low >= 0xdc00 && low <= 0xdfff) || stop("half of a pair of escapes is missing");
    }

    bool digits() {
        const std::size_t begin = place_;
        while (!at_end() && is_digit(text_[place_])) {
            ++place_;
        }
        return place_ > begin || stop("this is not JSON");
    }

    bool number() {
        take('-');
        if (!take('0') && !digits()) {
            return false;
        }
        if (take('.') && !digits()) {
            return false;
        }
        if (take('e') || take('E')) {
            if (!take('+')) {
                take('-');
            }
            return digits();
        }
        return true;
    }

    std::string_view text_;
    std::size_t place_ = 0;
    std::string_view what_{};
};

// Behind the string that begins at `begin`.
std::size_t end_of_string(std::string_view text, std::size_t begin) {
    std::size_t place = begin + 1;
    while (text[place] != '"') {
        place += text[place] == '\\' ? 2 : 1;
    }
    return place + 1;
}

}  // namespace

std::optional<JsonFault> find_json_fault(std::string_view text) { return Checker(text).check(); }

void list_members(std::string_view object, std::vector<JsonMember>& members) {
    members.clear();
    int depth = 0;
    std::size_t begin = 0;  // of the member's value, once its colon was there
    for (std::size_t place = 0; place < object.size(); ++place) {
        const char byte = object[place];
        if (byte == '"') {
            place = end_of_string(object, place) - 1;
            continue;
        }
        if (depth == 1 && byte == ':') {
            begin = object.find_first_not_of(" \t\r\n", place + 1);
            place = begin - 1;
            continue;
        }
        if (depth == 1 && (byte == ',' || byte == '}') && begin > 0) {
            const std::size_t last = object.find_last_not_of(" \t\r\n", place - 1);
            members.push_back({begin, object.substr(begin, last + 1 - begin)});
            begin = 0;
        }
        depth += byte == '{' || byte == '[' ? 1 : byte == '}' || byte == ']' ? -1 : 0;
    }
}

}  // namespace proctor::detail
