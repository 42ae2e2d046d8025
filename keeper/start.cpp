// SPDX-License-Identifier: MIT
//
// What a program without libc needs of its own: where it begins, and the functions that the compiler calls unasked.
#include <cstddef>

#if defined(__x86_64__)

asm(R"(
    .text
    .globl _start
    .type _start, @function
_start:
    xorl %ebp, %ebp
    movq %rsp, %rdi
    andq $-16, %rsp
    call proctor_keeper_main
    ud2
    .size _start, . - _start
)");

#elif defined(__aarch64__)

asm(R"(
    .text
    .globl _start
    .type _start, %function
_start:
    mov x29, xzr
    mov x30, xzr
    mov x0, sp
    bl proctor_keeper_main
    brk #1
    .size _start, . - _start
)");

#endif

extern "C" {

void* memset(void* to, int value, std::size_t size) {
    auto* const bytes = static_cast<unsigned char*>(to);
    for (std::size_t i = 0; i < size; ++i) {
        bytes[i] = static_cast<unsigned char>(value);
    }
    return to;
}

void* memcpy(void* __restrict to, const void* __restrict from, std::size_t size) {
    auto* const target = static_cast<unsigned char*>(to);
    const auto* const source = static_cast<const unsigned char*>(from);
    for (std::size_t i = 0; i < size; ++i) {
        target[i] = source[i];
    }
    return to;
}
}
