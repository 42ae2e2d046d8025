// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace proctor::detail {

/// Null-terminated strings in one piece of memory, with null-terminated lists of pointers to them, as execve wants its
/// arguments. Keeps its memory when it is cleared, so a slot that is used again allocates nothing.
class StringBlock {
public:
    void clear() noexcept {
        text_.clear();
        offsets_.clear();
    }

    /// Begins a string that add_part() makes up and end() closes.
    void begin() { offsets_.push_back(static_cast<std::ptrdiff_t>(text_.size())); }
    void add_part(std::string_view part) { text_.insert(text_.end(), part.begin(), part.end()); }
    void end() { text_.push_back('\0'); }

    void add(std::string_view string) {
        begin();
        add_part(string);
        end();
    }
    void end_list() { offsets_.push_back(list_end); }

    /// The index at which the next string of a list will stand.
    [[nodiscard]] std::size_t position() const noexcept { return offsets_.size(); }

    /// Fixes the addresses; nothing may be added after it.
    void seal() {
        pointers_.clear();
        for (const std::ptrdiff_t offset : offsets_) {
            pointers_.push_back(offset == list_end ? nullptr : text_.data() + offset);
        }
    }
    /// The list, or single string, that begins at a position.
    [[nodiscard]] char* const* list(std::size_t position) const noexcept { return pointers_.data() + position; }

    /// All strings, one after another, and all lists, as they were sealed.
    [[nodiscard]] const std::vector<char>& text() const noexcept { return text_; }
    [[nodiscard]] const std::vector<char*>& pointers() const noexcept { return pointers_; }

private:
    static constexpr std::ptrdiff_t list_end = -1;

    std::vector<char> text_{};
    std::vector<std::ptrdiff_t> offsets_{};
    std::vector<char*> pointers_{};
};

}  // namespace proctor::detail
