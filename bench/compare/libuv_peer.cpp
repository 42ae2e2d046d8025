// SPDX-License-Identifier: MIT
//
// By libuv: uv_spawn with pipes (which are socket pairs in libuv 1.44), uv_timer for limits. Needs libuv alone.
#include <uv.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "library_peer.hpp"
#include "peers.hpp"

namespace compare {

namespace {

/// libuv's error as an exception.
void require_uv(int status, const char* what) {
    if (status < 0) {
        throw std::runtime_error(std::string(what) + ": " + uv_strerror(status));
    }
}

/// A loop, and what went wrong in its callbacks: no exception may pass through libuv.
class UvLoop {
public:
    UvLoop() { require_uv(uv_loop_init(&loop_), "uv_loop_init"); }
    UvLoop(const UvLoop&) = delete;
    UvLoop& operator=(const UvLoop&) = delete;
    ~UvLoop() { uv_loop_close(&loop_); }

    uv_loop_t* get() { return &loop_; }
    /// Until nothing is left to do.
    void run() { run(UV_RUN_DEFAULT); }
    /// What is to do now.
    void poll() { run(UV_RUN_NOWAIT); }
    /// Calls what a callback has to do.
    template <typename Function>
    void guard(const Function& function) noexcept {
        try {
            function();
        } catch (...) {
            failure_ = std::current_exception();
            uv_stop(&loop_);
        }
    }
    /// What was read is handed on before anything else is read, so one buffer serves all.
    [[nodiscard]] uv_buf_t buffer() { return uv_buf_init(buffer_.data(), static_cast<unsigned>(buffer_.size())); }

private:
    void run(uv_run_mode mode) {
        uv_run(&loop_, mode);
        if (failure_) {
            std::rethrow_exception(std::exchange(failure_, nullptr));
        }
    }

    uv_loop_t loop_{};
    std::exception_ptr failure_{};
    std::array<char, read_size> buffer_{};
};

/// One child at a time, and the next one when it has ended.
class UvChild {
public:
    enum class Input { none, pipe };

    explicit UvChild(UvLoop& loop) : loop_(loop) {}
    UvChild(const UvChild&) = delete;
    UvChild& operator=(const UvChild&) = delete;
    /// Kills what still runs.
    ~UvChild();

    std::function<void(std::size_t stream, std::string_view bytes)> on_output{};
    /// The child is dead and both its streams have ended; another one may be started.
    std::function<void()> on_end{};

    /// `third` becomes the child's descriptor 3, unless it is negative.
    void start(const std::vector<std::string>& argv, Input input = Input::none, int third = -1);
    /// The text must stay until it is written.
    void write(std::string_view text);
    /// The child's input ends when all is written.
    void end_input() { input_ends_ = true; }
    void close_input() { close(pipes_[0]); }
    void kill() { require_uv(uv_process_kill(&process_, SIGKILL), "uv_process_kill"); }

    [[nodiscard]] bool passed() const { return exit_status_ == 0 && signal_ == 0; }
    [[nodiscard]] bool killed() const { return signal_ == SIGKILL; }

private:
    static UvChild& of(uv_handle_t* handle) { return *static_cast<UvChild*>(handle->data); }
    static void on_exit(uv_process_t* process, std::int64_t exit_status, int signal);
    static void on_allocate(uv_handle_t* handle, std::size_t suggested, uv_buf_t* buffer);
    static void on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer);
    static void on_written(uv_write_t* request, int status);
    static void on_closed(uv_handle_t* handle);

    template <typename Handle>
    void close(Handle& handle) {
        auto* const any = reinterpret_cast<uv_handle_t*>(&handle);
        if (uv_is_closing(any) == 0) {
            uv_close(any, on_closed);
        }
    }
    void open_pipe(std::size_t index, uv_stdio_container_t& entry, unsigned flags);
    uv_stream_t* stream(std::size_t index) { return reinterpret_cast<uv_stream_t*>(&pipes_.at(index)); }

    UvLoop& loop_;
    uv_process_t process_{};
    std::array<uv_pipe_t, 3> pipes_{};
    std::size_t open_ = 0;  // handles
    bool has_input_ = false;
    bool input_ends_ = false;
    uv_write_t write_{};
    std::int64_t exit_status_ = 0;
    int signal_ = 0;
};

/// A timer that fires once.
class UvTimer {
public:
    explicit UvTimer(UvLoop& loop);
    UvTimer(const UvTimer&) = delete;
    UvTimer& operator=(const UvTimer&) = delete;
    ~UvTimer();

    /// The loop's clock is whole milliseconds, cut off: at times it fires a part of one too early.
    void start(std::chrono::milliseconds time, std::function<void()> on_time);

private:
    UvLoop& loop_;
    uv_timer_t timer_{};
    std::function<void()> on_time_{};
    bool closed_ = false;
};

UvChild::~UvChild() {
    if (open_ == 0) {
        return;
    }
    on_output = nullptr;
    on_end = nullptr;
    if (uv_is_active(reinterpret_cast<uv_handle_t*>(&process_)) != 0) {
        uv_process_kill(&process_, SIGKILL);
    }
    close(process_);
    for (std::size_t index = has_input_ ? 0 : 1; index < pipes_.size(); ++index) {
        close(pipes_.at(index));
    }
    while (open_ > 0) {
        uv_run(loop_.get(), UV_RUN_NOWAIT);
    }
}

void UvChild::open_pipe(std::size_t index, uv_stdio_container_t& entry, unsigned flags) {
    uv_pipe_t& pipe = pipes_.at(index);
    require_uv(uv_pipe_init(loop_.get(), &pipe, 0), "uv_pipe_init");
    pipe.data = this;
    ++open_;
    entry.flags = static_cast<uv_stdio_flags>(UV_CREATE_PIPE | flags);
    entry.data.stream = stream(index);
}

void UvChild::start(const std::vector<std::string>& argv, Input input, int third) {
    std::vector<char*> arguments;
    arguments.reserve(argv.size() + 1);
    for (const std::string& word : argv) {
        arguments.push_back(const_cast<char*>(word.c_str()));
    }
    arguments.push_back(nullptr);

    std::array<uv_stdio_container_t, 4> stdio{};
    has_input_ = input == Input::pipe;
    stdio[0].flags = UV_IGNORE;
    if (has_input_) {
        open_pipe(0, stdio[0], UV_READABLE_PIPE);
    }
    open_pipe(1, stdio[1], UV_WRITABLE_PIPE);
    open_pipe(2, stdio[2], UV_WRITABLE_PIPE);
    stdio[3].flags = UV_INHERIT_FD;
    stdio[3].data.fd = third;

    uv_process_options_t options{};
    options.file = arguments.front();
    options.args = arguments.data();
    options.exit_cb = on_exit;
    options.stdio = stdio.data();
    options.stdio_count = third >= 0 ? 4 : 3;
    process_.data = this;
    ++open_;  // also if it fails: the handle must be closed then, too
    require_uv(uv_spawn(loop_.get(), &process_, &options), "uv_spawn");
    for (const std::size_t index : {1U, 2U}) {
        require_uv(uv_read_start(stream(index), on_allocate, on_read), "uv_read_start");
    }
}

void UvChild::write(std::string_view text) {
    const uv_buf_t buffer = uv_buf_init(const_cast<char*>(text.data()), static_cast<unsigned>(text.size()));
    require_uv(uv_write(&write_, stream(0), &buffer, 1, on_written), "uv_write");
}

void UvChild::on_written(uv_write_t* request, int status) {
    UvChild& child = of(reinterpret_cast<uv_handle_t*>(request->handle));
    if (status != UV_ECANCELED) {
        child.loop_.guard([status] { require_uv(status, "uv_write"); });
    }
    if (child.input_ends_) {
        child.close_input();
    }
}

void UvChild::on_exit(uv_process_t* process, std::int64_t exit_status, int signal) {
    UvChild& child = of(reinterpret_cast<uv_handle_t*>(process));
    child.exit_status_ = exit_status;
    child.signal_ = signal;
    child.close(child.process_);
    if (child.has_input_) {
        child.close_input();
    }
}

void UvChild::on_allocate(uv_handle_t* handle, std::size_t /*suggested*/, uv_buf_t* buffer) {
    *buffer = of(handle).loop_.buffer();
}

void UvChild::on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
    UvChild& child = of(reinterpret_cast<uv_handle_t*>(stream));
    child.loop_.guard([&] {
        if (count > 0 && child.on_output) {
            const std::size_t index = stream == child.stream(1) ? 0 : 1;
            child.on_output(index, {buffer->base, static_cast<std::size_t>(count)});
        } else if (count < 0) {
            child.close(*stream);
            require_uv(count == UV_EOF ? 0 : static_cast<int>(count), "uv_read");
        }
    });
}

void UvChild::on_closed(uv_handle_t* handle) {
    UvChild& child = of(handle);
    --child.open_;
    if (child.open_ == 0 && child.on_end) {
        child.loop_.guard([&] { child.on_end(); });
    }
}

UvTimer::UvTimer(UvLoop& loop) : loop_(loop) {
    require_uv(uv_timer_init(loop.get(), &timer_), "uv_timer_init");
    timer_.data = this;
}

UvTimer::~UvTimer() {
    uv_close(reinterpret_cast<uv_handle_t*>(&timer_),
             [](uv_handle_t* handle) { static_cast<UvTimer*>(handle->data)->closed_ = true; });
    while (!closed_) {
        uv_run(loop_.get(), UV_RUN_NOWAIT);
    }
}

void UvTimer::start(std::chrono::milliseconds time, std::function<void()> on_time) {
    on_time_ = std::move(on_time);
    const auto fire = [](uv_timer_t* timer) {
        auto& self = *static_cast<UvTimer*>(timer->data);
        self.loop_.guard([&self] { self.on_time_(); });
    };
    uv_update_time(loop_.get());
    require_uv(uv_timer_start(&timer_, fire, static_cast<std::uint64_t>(time.count()), 0), "uv_timer_start");
}

struct Libuv {
    using Loop = UvLoop;
    using Child = UvChild;
    using Timer = UvTimer;
};

}  // namespace

std::unique_ptr<Peer> make_libuv() { return std::make_unique<LibraryPeer<Libuv>>(); }

}  // namespace compare
