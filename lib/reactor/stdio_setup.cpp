// SPDX-License-Identifier: MIT
#include "reactor/stdio_setup.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

namespace proctor::detail {

namespace {

/// A host that was started with stdin, stdout or stderr closed must not find our pipes there: what it prints would go
/// into a child.
Expected<UniqueFd> above_stdio(UniqueFd fd) {
    if (!fd || fd.get() > STDERR_FILENO) {
        return fd;
    }
    UniqueFd moved(::fcntl(fd.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    if (!moved) {
        return failure(Stage::spawn, errno, "no descriptor is left",
                       "run fewer jobs at once, or raise the limit of open files (ulimit -n)");
    }
    return moved;
}

Expected<UniqueFd> open_file(const std::string& path, int flags, const char* verb) {
    // O_NONBLOCK for the open alone: a FIFO whose other end nobody holds must not stop the reactor.
    UniqueFd file(::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666));
    if (!file) {
        const int error_number = errno;
        return failure(Stage::io, error_number, std::string("cannot ") + verb + " " + path,
                       error_number == EMFILE || error_number == ENFILE
                           ? "run fewer jobs at once, or raise the limit of open files (ulimit -n)"
                           : "correct the path, or its permissions");
    }
    ::fcntl(file.get(), F_SETFL, 0);
    return above_stdio(std::move(file));
}

Expected<UniqueFd> open_input(const std::string& path) {
    auto file = open_file(path, O_RDONLY, "read");
    struct stat status {};
    if (file && ::fstat(file->get(), &status) == 0 && S_ISDIR(status.st_mode)) {
        return failure(Stage::io, EISDIR, "cannot read " + path, "name a file");
    }
    return file;
}

// What a child may write at once where we may grant it (CAP_NET_ADMIN); else it is bounded by net.core.wmem_max. The
// kernel doubles the number, keeps up to so much in each socket, and finds no memory for much larger messages.
constexpr int wanted_send_buffer = 1 << 20;

struct StampedSocket {
    UniqueFd reader{};
    UniqueFd writer{};
    std::size_t largest_message = 0;
};

Expected<StampedSocket> make_stamped_socket() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        return failure(Stage::spawn, errno, "no socket can be made for the child",
                       "run fewer jobs at once, or raise the limit of open files (ulimit -n)");
    }
    auto reader = above_stdio(UniqueFd(ends[0]));
    auto writer = above_stdio(UniqueFd(ends[1]));
    if (!reader || !writer) {
        return tl::unexpected<Error>(std::move((reader ? writer : reader).error()));
    }
    constexpr int on = 1;
    if (::setsockopt(reader->get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) < 0) {
        return failure(Stage::spawn, errno, "the kernel does not stamp what the child writes", "use Order::pipe");
    }
    ::shutdown(reader->get(), SHUT_WR);  // or a child that reads its own output would wait for ever
    int size = wanted_send_buffer;
    if (::setsockopt(writer->get(), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0) {
        ::setsockopt(writer->get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    }
    socklen_t length = sizeof size;
    ::getsockopt(writer->get(), SOL_SOCKET, SO_SNDBUF, &size, &length);
    return StampedSocket{std::move(*reader), std::move(*writer), static_cast<std::size_t>(size)};
}

// Only where both come here is there an order to keep.
bool wants_exact_order(const Job& job) {
    const auto comes_here = [](const Output& output) {
        return output.sink() == Output::Sink::capture || output.sink() == Output::Sink::forward;
    };
    return job.order == Order::exact && comes_here(job.output) && comes_here(job.error_output);
}

/// Collects one job's descriptors.
class Setup {
public:
    Setup(const Job& job, const NullDevice& null, bool nonblock) : job_(job), null_(null), nonblock_(nonblock) {
        setup_.exact_order = wants_exact_order(job);
    }

    Expected<StdioSetup> make() {
        return connect_input()
            .and_then([&] { return connect_output(job_.output, STDOUT, setup_.output); })
            .and_then([&] { return connect_output(job_.error_output, STDERR, setup_.error_output); })
            .map([&] {
                for (const PassedDescriptor& passed : job_.descriptors) {
                    setup_.moves.push_back({passed.from, passed.to});
                    setup_.only_ours = false;
                }
                return std::move(setup_);
            });
    }

private:
    void give(int from, Stream to) { setup_.moves.push_back({from, to}); }
    void give(UniqueFd owned, Stream to) {
        give(owned.get(), to);
        setup_.childs.push_back(std::move(owned));
    }

    // The flag belongs to our end alone: a pipe's two ends are two open file descriptions.
    UniqueFd ours(UniqueFd end) const {
        if (nonblock_) {
            ::fcntl(end.get(), F_SETFL, O_NONBLOCK);
        }
        return end;
    }

    Expected<void> connect_input() {
        switch (job_.input.source()) {
            case Input::Source::empty: give(null_.for_reading.get(), STDIN); return {};
            case Input::Source::inherit:
                give(job_.input.descriptor(), STDIN);
                setup_.only_ours = false;
                return {};
            case Input::Source::file: {
                auto file = open_input(job_.input.value());
                if (!file) {
                    return tl::unexpected<Error>(std::move(file.error()));
                }
                setup_.input_file = std::move(*file);
                break;
            }
            case Input::Source::text:
            case Input::Source::descriptor:
            case Input::Source::held_open:
            case Input::Source::lines:
            case Input::Source::live: break;
        }
        auto pipe = make_pipe();
        if (!pipe) {
            return tl::unexpected<Error>(std::move(pipe.error()));
        }
        give(std::move(pipe->reader), STDIN);
        setup_.input = ours(std::move(pipe->writer));
        return {};
    }

    Expected<void> connect_output(const Output& output, Stream stream, UniqueFd& host_end) {
        switch (output.sink()) {
            case Output::Sink::null: give(null_.for_writing.get(), stream); return {};
            case Output::Sink::inherit:
                give(output.descriptor(), stream);
                setup_.only_ours = false;
                return {};
            case Output::Sink::with_output: give(setup_.moves[STDOUT].from, stream); return {};
            case Output::Sink::file: {
                auto file = open_file(output.path(), O_WRONLY | O_CREAT | O_TRUNC, "write");
                if (!file) {
                    return tl::unexpected<Error>(std::move(file.error()));
                }
                give(std::move(*file), stream);
                return {};
            }
            case Output::Sink::capture:
            case Output::Sink::forward: break;
        }
        if (setup_.exact_order) {
            return connect_stamped(stream, host_end);
        }
        auto pipe = make_pipe();
        if (!pipe) {
            return tl::unexpected<Error>(std::move(pipe.error()));
        }
        give(std::move(pipe->writer), stream);
        host_end = ours(std::move(pipe->reader));
        return {};
    }

    Expected<void> connect_stamped(Stream stream, UniqueFd& host_end) {
        auto socket = make_stamped_socket();
        if (!socket) {
            return tl::unexpected<Error>(std::move(socket.error()));
        }
        give(std::move(socket->writer), stream);
        host_end = std::move(socket->reader);
        setup_.largest_message = std::max(setup_.largest_message, socket->largest_message);
        return {};
    }

    const Job& job_;
    const NullDevice& null_;
    bool nonblock_;
    StdioSetup setup_{};
};

}  // namespace

Expected<NullDevice> NullDevice::open() {
    auto reading = open_file("/dev/null", O_RDONLY, "read");
    auto writing = open_file("/dev/null", O_WRONLY, "write");
    if (!reading || !writing) {
        Error error = std::move((reading ? writing : reading).error());
        error.stage = Stage::setup;
        return tl::unexpected<Error>(std::move(error));
    }
    return NullDevice{std::move(*reading), std::move(*writing)};
}

Expected<Pipe> make_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) < 0) {
        return failure(Stage::spawn, errno, "no pipe can be made for the child",
                       "run fewer jobs at once, or raise the limit of open files (ulimit -n)");
    }
    auto reader = above_stdio(UniqueFd(ends[0]));
    auto writer = above_stdio(UniqueFd(ends[1]));
    if (!reader || !writer) {
        return tl::unexpected<Error>(std::move((reader ? writer : reader).error()));
    }
    return Pipe{std::move(*reader), std::move(*writer)};
}

Expected<StdioSetup> set_up_stdio(const Job& job, const NullDevice& null, bool nonblock) {
    return Setup(job, null, nonblock).make();
}

}  // namespace proctor::detail
