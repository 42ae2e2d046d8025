// SPDX-License-Identifier: MIT
//
// Sleeps until it is killed. Static and without libc, so that ten thousand of it need little memory.

namespace {

long wait_for_ever() {
#if defined(__x86_64__)
    constexpr long ppoll_number = 271;
    register long r10 asm("r10") = 0;
    long result = 0;
    asm volatile("syscall"
                 : "=a"(result)
                 : "a"(ppoll_number), "D"(0), "S"(0), "d"(0), "r"(r10)
                 : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    constexpr long ppoll_number = 73;
    register long x8 asm("x8") = ppoll_number;
    register long x0 asm("x0") = 0;
    register long x1 asm("x1") = 0;
    register long x2 asm("x2") = 0;
    register long x3 asm("x3") = 0;
    asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
#else
#error "ppoll of this processor is not known here"
#endif
}

}  // namespace

// The linker is told to begin here.
extern "C" [[noreturn]] void tiny_child_entry() {
    for (;;) {
        wait_for_ever();
    }
}
