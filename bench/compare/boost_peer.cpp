// SPDX-License-Identifier: MIT
//
// By Boost.Process v2 on Asio. Header only: needs no library to be linked and no define but the one below. About 1.81:
//   - the default launcher forks, and Asio registers all descriptors of the context anew in each child before the
//     execve. vfork_launcher would have it do that in this process's own memory, so it is no alternative;
//   - posix::bind_fd has a function without a return statement, so the third descriptor has an initializer of our own.
// Else Boost.Filesystem would have to be linked. Boost.Process 1.81 forgets the headers optional, decay and
// is_convertible then.
#define BOOST_PROCESS_USE_STD_FS

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/readable_pipe.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/writable_pipe.hpp>
#include <boost/asio/write.hpp>
#include <boost/optional.hpp>
#include <boost/system/system_error.hpp>
#include <boost/type_traits/decay.hpp>
#include <boost/type_traits/is_convertible.hpp>

#include <boost/process/v2/process.hpp>
#include <boost/process/v2/stdio.hpp>

#include "library_peer.hpp"
#include "peers.hpp"

namespace compare {

namespace {

/// Boost.Process's initializer for one more descriptor of the child.
struct ThirdDescriptor {
    int fd = -1;

    template <typename Launcher, typename... Rest>
    boost::system::error_code on_setup(Launcher& launcher, const Rest&... /*rest*/) const {
        if (fd >= 0) {
            launcher.fd_whitelist.push_back(3);
        }
        return {};
    }
    template <typename Launcher, typename... Rest>
    boost::system::error_code on_exec_setup(Launcher& /*launcher*/, const Rest&... /*rest*/) const {
        if (fd >= 0 && ::dup2(fd, 3) < 0) {
            return {errno, boost::system::system_category()};
        }
        return {};
    }
};

/// A context for one thread.
class BoostLoop {
public:
    boost::asio::io_context& context() { return context_; }
    /// Until nothing is left to do.
    void run() { context_.run(); }
    /// What is to do now.
    void poll() { context_.poll(); }

private:
    boost::asio::io_context context_{1};
};

/// One child at a time, and the next one when it has ended. It is killed if it still runs when this is destroyed; the
/// loop must not be run afterwards then.
class BoostChild {
public:
    enum class Input { none, pipe };

    explicit BoostChild(BoostLoop& loop)
        : context_(loop.context()), input_(context_), outputs_{Output(context_), Output(context_)} {}

    std::function<void(std::size_t stream, std::string_view bytes)> on_output{};
    /// The child is dead and both its streams have ended; another one may be started.
    std::function<void()> on_end{};

    /// `third` becomes the child's descriptor 3, unless it is negative.
    void start(const std::vector<std::string>& argv, Input input = Input::none, int third = -1);
    /// The text must stay until it is written.
    void write(std::string_view text);
    /// The child's input ends when all is written.
    void end_input() { input_ends_ = true; }
    void close_input() { input_.close(); }
    void kill() { process_->terminate(); }

    [[nodiscard]] bool passed() const { return process_->native_exit_code() == 0; }
    [[nodiscard]] bool killed() const {
        const int status = process_->native_exit_code();
        return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    }

private:
    struct Output {
        explicit Output(boost::asio::io_context& context) : pipe(context) {}

        boost::asio::readable_pipe pipe;
        std::unique_ptr<char[]> buffer = std::make_unique_for_overwrite<char[]>(read_size);
    };

    void launch(const std::vector<std::string>& argv, Input input, int third);
    void read(std::size_t stream);
    void on_read(std::size_t stream, boost::system::error_code error, std::size_t count);
    void one_ended();

    boost::asio::io_context& context_;
    boost::asio::writable_pipe input_;
    std::array<Output, 2> outputs_;
    std::optional<boost::process::v2::process> process_{};
    std::size_t open_ = 0;  // the process and its streams
    bool input_ends_ = false;
};

void BoostChild::launch(const std::vector<std::string>& argv, Input input, int third) {
    namespace process = boost::process::v2;
    const std::vector<std::string> arguments(argv.begin() + 1, argv.end());
    const ThirdDescriptor third_descriptor{third};
    if (input == Input::pipe) {
        process_.emplace(context_, argv.front(), arguments,
                         process::process_stdio{input_, outputs_[0].pipe, outputs_[1].pipe}, third_descriptor);
    } else {
        process_.emplace(context_, argv.front(), arguments,
                         process::process_stdio{nullptr, outputs_[0].pipe, outputs_[1].pipe}, third_descriptor);
    }
    // process_stdio does not tell when no pipe could be made.
    require(outputs_[0].pipe.is_open() && outputs_[1].pipe.is_open(), "no pipe could be made");
}

void BoostChild::start(const std::vector<std::string>& argv, Input input, int third) {
    launch(argv, input, third);
    open_ = 3;
    read(0);
    read(1);
    process_->async_wait([this](boost::system::error_code error, int /*exit_code*/) {
        if (error) {
            throw boost::system::system_error(error, "async_wait");
        }
        one_ended();
    });
}

void BoostChild::read(std::size_t stream) {
    Output& output = outputs_.at(stream);
    output.pipe.async_read_some(
        boost::asio::buffer(output.buffer.get(), read_size),
        [this, stream](boost::system::error_code error, std::size_t count) { on_read(stream, error, count); });
}

void BoostChild::on_read(std::size_t stream, boost::system::error_code error, std::size_t count) {
    if (error) {
        if (error != boost::asio::error::eof) {
            throw boost::system::system_error(error, "async_read_some");
        }
        outputs_.at(stream).pipe.close();
        one_ended();
        return;
    }
    if (on_output) {
        on_output(stream, {outputs_.at(stream).buffer.get(), count});
    }
    read(stream);
}

void BoostChild::write(std::string_view text) {
    boost::asio::async_write(input_, boost::asio::buffer(text),
                             [this](boost::system::error_code error, std::size_t /*count*/) {
                                 if (error && error != boost::asio::error::operation_aborted) {
                                     throw boost::system::system_error(error, "async_write");
                                 }
                                 if (input_ends_) {
                                     close_input();
                                 }
                             });
}

void BoostChild::one_ended() {
    if (--open_ > 0) {
        return;
    }
    if (input_.is_open()) {
        close_input();
    }
    if (on_end) {
        on_end();
    }
}

/// A timer that fires once.
class BoostTimer {
public:
    explicit BoostTimer(BoostLoop& loop) : timer_(loop.context()) {}

    void start(std::chrono::milliseconds time, std::function<void()> on_time) {
        timer_.expires_after(time);
        timer_.async_wait([on_time = std::move(on_time)](boost::system::error_code error) {
            if (!error) {
                on_time();
            }
        });
    }

private:
    boost::asio::steady_timer timer_;
};

struct BoostProcess {
    using Loop = BoostLoop;
    using Child = BoostChild;
    using Timer = BoostTimer;
};

}  // namespace

std::unique_ptr<Peer> make_boost() { return std::make_unique<LibraryPeer<BoostProcess>>(); }

}  // namespace compare
