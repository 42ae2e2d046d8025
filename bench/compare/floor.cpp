// SPDX-License-Identifier: MIT
//
// The least that the kernel asks for: no loop, no limits, nothing captured where that can be left out.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

#include "peers.hpp"
#include "support.hpp"
#include "vfork_child.hpp"

namespace compare {

namespace {

class Descriptor {
public:
    explicit Descriptor(int fd) : fd_(fd) {
        if (fd < 0) {
            throw_errno("a descriptor");
        }
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() { close(); }

    [[nodiscard]] int get() const { return fd_; }
    void close() {
        if (fd_ >= 0) {
            ::close(fd_);
            fd_ = -1;
        }
    }

private:
    int fd_;
};

struct Pipe {
    Pipe() : Pipe(make()) {}

    Descriptor reader;
    Descriptor writer;

private:
    explicit Pipe(std::array<int, 2> ends) : reader(ends[0]), writer(ends[1]) {}
    static std::array<int, 2> make() {
        std::array<int, 2> ends{-1, -1};
        if (::pipe2(ends.data(), O_CLOEXEC) < 0) {
            throw_errno("pipe2");
        }
        return ends;
    }
};

void expect_success(idtype_t kind, int pid) {
    siginfo_t info{};
    if (::waitid(kind, static_cast<id_t>(pid), &info, WEXITED) < 0) {
        throw_errno("waitid");
    }
    require(info.si_code == CLD_EXITED && info.si_status == 0, "a child failed");
}

class Floor final : public Peer {
public:
    Figures spawn(const SpawnWork& work) override {
        const std::vector<std::string> argv{work.program};
        const Launch launch{.argv = &argv, .descriptors = {null_.get(), null_.get(), null_.get()}};
        std::size_t running = 0;
        const Stopwatch watch;
        for (std::size_t started = 0; started < work.jobs; ++started) {
            if (running == work.at_once) {
                expect_success(P_ALL, 0);
                --running;
            }
            start(launch);
            ++running;
        }
        for (; running > 0; --running) {
            expect_success(P_ALL, 0);
        }
        return {{"jobs_per_s", static_cast<double>(work.jobs) / watch.seconds()}};
    }

    Figures flood(const FloodWork& work) override {
        const std::size_t kept = work.keep == Keep::memory ? static_cast<std::size_t>(work.bytes) : 0;
        const std::unique_ptr<char[]> memory(new char[kept + read_size]);
        const Descriptor spool(work.keep == Keep::disk ? open_spool() : ::dup(null_.get()));
        Pipe output;
        // As `cat >file` has it, or else as large as it may be without asking the administrator.
        if (work.keep != Keep::disk && ::fcntl(output.reader.get(), F_SETPIPE_SZ, 1 << 20) < 0) {
            throw_errno("F_SETPIPE_SZ");
        }
        const Stopwatch watch;
        const int pid = start({.argv = &work.argv, .descriptors = {null_.get(), output.writer.get(), null_.get()}});
        output.writer.close();
        std::uint64_t bytes = 0;
        for (;;) {
            char* const to = memory.get() + (kept > 0 ? bytes : 0);
            const ssize_t count = ::read(output.reader.get(), to, read_size);
            if (count < 0) {
                throw_errno("read");
            }
            if (count == 0) {
                break;
            }
            if (work.keep == Keep::disk) {
                write_all(spool.get(), to, static_cast<std::size_t>(count));
            }
            bytes += static_cast<std::uint64_t>(count);
            require(kept == 0 || bytes <= kept, "the flood is too long");
        }
        expect_success(P_PID, pid);
        const double seconds = watch.seconds();
        require(bytes == work.bytes, "the flood was not complete");
        return {{"gib_per_s", gib(bytes) / seconds}};
    }

    Figures round_trips(const RoundTripWork& work) override {
        constexpr std::string_view line = "question\n";
        Pipe input;
        Pipe output;
        const int pid =
            start({.argv = &work.argv, .descriptors = {input.reader.get(), output.writer.get(), null_.get()}});
        input.reader.close();
        output.writer.close();
        std::vector<double> microseconds;
        for (std::size_t i = 0; i < work.count + warm_up_round_trips; ++i) {
            std::array<char, 64> answer;
            const Stopwatch watch;
            write_all(input.writer.get(), line.data(), line.size());
            // A short line is written at once and so is read at once.
            const ssize_t count = ::read(output.reader.get(), answer.data(), answer.size());
            const double took = watch.seconds() * 1e6;
            require(count > 0 && std::string_view(answer.data(), static_cast<std::size_t>(count)) == line,
                    "a wrong answer");
            if (i >= warm_up_round_trips) {
                microseconds.push_back(took);
            }
        }
        input.writer.close();
        expect_success(P_PID, pid);
        return round_trip_figures(microseconds);
    }

private:
    static constexpr std::size_t read_size = 131'072;

    static int start(const Launch& launch) {
        const Launched launched = vfork_exec(launch, false);
        return launched.pid;
    }

    Descriptor null_{::open("/dev/null", O_RDWR | O_CLOEXEC)};
};

}  // namespace

std::unique_ptr<Peer> make_floor() { return std::make_unique<Floor>(); }

}  // namespace compare
