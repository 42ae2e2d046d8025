// SPDX-License-Identifier: MIT
//
// Captures that are larger than max_size: complete, in bounded memory, and when the temporary file fails.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "capture/temporary_file.hpp"
#include "support.hpp"

using namespace proctor::literals;
using namespace std::chrono_literals;
using proctor::Capture;
using proctor::CaptureOptions;
using proctor::CaptureRecord;
using proctor::CaptureRecorder;
using proctor::Input;
using proctor::Job;
using proctor::Outcome;
using proctor::RunResult;
using proctor::Stage;
using proctor::STDERR;
using proctor::STDIN;
using proctor::STDOUT;
using support::script;
using support::TempDir;

namespace {

bool is_empty(const std::string& directory) { return std::filesystem::is_empty(directory); }

bool has_room(proctor::Bytes size) {
    struct statvfs room {};
    return statvfs(proctor::detail::temporary_directory("").c_str(), &room) == 0 &&
           room.f_bavail * room.f_frsize > static_cast<std::uint64_t>(size);
}

long peak_memory_kib() { return std::atol(support::status_field("self", "VmHWM").c_str()); }

// Whether the file is zeros and nothing else, and as long as that, without holding it.
bool all_zero(const Capture& capture, proctor::Bytes size) {
    auto playback = capture.playback();
    while (const auto record = playback.next(STDOUT)) {
        if (record->data.find_first_not_of('\0') != std::string_view::npos) return false;
        size -= static_cast<proctor::Bytes>(record->data.size());
    }
    return size == 0 && !playback.error();
}

// Everything about records, for comparing.
std::string told(const CaptureRecord& record) {
    return std::to_string(record.stream) + "@" + std::to_string(record.time.count()) + (record.truncated ? "!" : "") +
           (record.ambiguous ? "?" : "") + ":" + std::string(record.data);
}

// A host with a file system of its own that has so much room. "" is all right.
std::string in_small_directory(const char* size, const std::function<std::string(const std::string&)>& host) {
    const TempDir point;
    return support::in_host([&]() -> std::string {
        if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            mount("small", point.path().c_str(), "tmpfs", 0, size) != 0) {
            return "cannot mount";
        }
        return host(point.path());
    });
}

// The run failed for its spool, the child is gone, and what was recorded is there.
std::string check_failed(const RunResult& result, int error_number, std::size_t at_least) {
    HOST_CHECK_RESULT(result.outcome == Outcome::error, result);
    HOST_CHECK_RESULT(result.error.has_value(), result);
    HOST_CHECK_RESULT(result.error->stage == Stage::spool, result);
    HOST_CHECK_RESULT(result.error->error_number == error_number, result);
    HOST_CHECK_RESULT(!result.error->cure.empty(), result);
    HOST_CHECK_RESULT(result.signal == SIGKILL, result);
    const std::string text = result.capture.text(STDOUT);
    HOST_CHECK_RESULT(text.size() >= at_least, result);
    HOST_CHECK_RESULT(static_cast<proctor::Bytes>(text.size()) == result.capture.size(STDOUT), result);
    HOST_CHECK_RESULT(text == support::pattern(text.size()), result);
    HOST_CHECK_RESULT(result.capture.totals(STDOUT).total_bytes >= result.capture.size(STDOUT), result);
    return {};
}

}  // namespace

TEST_CASE("64 MiB through the child, with 64 KiB of them in memory, come back as they were") {
    if (!has_room(400_MiB)) return support::skip("too little room for temporary files");
    const auto before = support::open_descriptors();
    {
        const TempDir dir;
        const std::string content = support::pattern(64 << 20);
        const std::string source = dir.write("source", content);
        const TempDir spool;
        Job job = script("copy 0 1");
        job.input = Input::file(source);
        job.capture.max_size = 64_KiB;
        job.capture.spool_directory = spool.path();
        const RunResult result = proctor::run(std::move(job));
        INFO(support::describe(result));
        CHECK(result.passed());
        CHECK(is_empty(spool.path()));
        CHECK((result.capture.text(STDOUT) == content));
        CHECK((result.capture.text(STDIN) == content));
        CHECK(result.capture.size(STDOUT) == 64_MiB);
    }
    CHECK(support::open_descriptors() == before);
}

TEST_CASE("an endless line, and the host stays small") {
    constexpr proctor::Bytes size = 256_MiB;
    if (!has_room(2 * size)) return support::skip("too little room for temporary files");
    const TempDir dir;
    const std::string zeros = dir.write("zeros", "");
    REQUIRE(truncate(zeros.c_str(), size) == 0);
    CHECK(support::in_host([&]() -> std::string {
              (void)support::run_script("exit 0");  // so that what is made once is made
              const long before = peak_memory_kib();
              Job job = script("copy 3 1");
              const support::Fd file = support::open_file(zeros, O_RDONLY);
              job.descriptors = {{file.get(), 3}};
              job.capture.max_size = 64_KiB;
              const RunResult result = proctor::run(std::move(job));
              HOST_CHECK_RESULT(result.passed(), result);
              HOST_CHECK_RESULT(result.capture.lines(STDOUT) == 1, result);
              HOST_CHECK(all_zero(result.capture, size));
              const long growth = peak_memory_kib() - before;
              return growth < 8L * 1024 ? "" : "the host grew by " + std::to_string(growth) + " KiB";
          }) == "");
}

TEST_CASE("a million records of one byte do not take more memory than was allowed") {
    CHECK(support::in_host([]() -> std::string {
              const long before = peak_memory_kib();
              Capture capture(CaptureOptions{.max_size = 64_KiB});
              {
                  CaptureRecorder recorder = capture.record();
                  for (int i = 0; i < 1'000'000; ++i) {
                      recorder.add(i % 2 == 0 ? STDOUT : STDERR, "x", std::chrono::microseconds(i));
                  }
                  HOST_CHECK(!recorder.error());
              }
              int count = 0;
              for (const CaptureRecord& record : capture.playback()) {
                  HOST_CHECK(record.time == std::chrono::microseconds(count));
                  HOST_CHECK(record.stream == (count % 2 == 0 ? STDOUT : STDERR));
                  ++count;
              }
              HOST_CHECK(count == 1'000'000);
              const long growth = peak_memory_kib() - before;
              // AddressSanitizer keeps what was given back for a while.
              const long most = (support::sanitized ? 16L : 4L) * 1024;
              return growth < most ? "" : "the host grew by " + std::to_string(growth) + " KiB";
          }) == "");
}

TEST_CASE("what observers saw is what is played back, wherever it is kept") {
    for (const proctor::Bytes max_size : {0_B, 1_B, 100'000_B, 10'000'000_B}) {
        CAPTURE(max_size);
        Job job = script("copy-to-both");
        job.input = Input::text(support::pattern(3'000'000));
        job.capture.max_size = max_size;
        job.capture.limits.max_stderr_bytes = 1'000'000;
        std::vector<std::string> seen;
        std::vector<std::string> played;
        proctor::Reactor reactor = support::make_reactor();
        reactor.submit(job, {.on_record = [&](const CaptureRecord& record) { seen.push_back(told(record)); },
                             .on_end =
                                 [&](RunResult&& result) {
                                     CHECK(result.passed());
                                     for (const CaptureRecord& record : result.capture.playback()) {
                                         played.push_back(told(record));
                                     }
                                 }});
        REQUIRE(reactor.run());
        CHECK((seen == played));
    }
}

TEST_CASE("random records come back from memory and file, also while more are recorded") {
    const std::uint64_t seed = std::random_device{}();
    INFO("seed " << seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 60; ++round) {
        Capture capture(CaptureOptions{.max_size = static_cast<proctor::Bytes>(random() % 400'000)});
        CaptureRecorder recorder = capture.record();
        auto along = capture.playback();
        std::vector<std::string> expected;
        std::vector<std::string> seen;
        std::chrono::nanoseconds time{};
        for (std::uint64_t count = random() % 60; count > 0; --count) {
            const std::size_t size = random() % 4 == 0 ? random() % 300'000 : random() % 50 + 1;
            const auto stream = static_cast<proctor::Stream>(random() % 3);
            time += std::chrono::nanoseconds(random() % 1'000'000'000'000);
            const std::string data(size + 1, static_cast<char>(random()));
            const bool ambiguous = random() % 3 == 0;
            recorder.add(stream, data, time, ambiguous);
            expected.push_back(told({.time = time, .stream = stream, .data = data, .ambiguous = ambiguous}));
            if (const auto record = along.next()) seen.push_back(told(*record));
        }
        CHECK((seen == expected));
        std::vector<std::string> played;
        for (const CaptureRecord& record : capture.playback()) played.push_back(told(record));
        CHECK((played == expected));
    }
}

TEST_CASE("many jobs at once have files of their own, and nothing of them is left") {
    const auto before = support::open_descriptors();
    {
        const TempDir spool;
        proctor::Reactor reactor = support::make_reactor();
        int right = 0;
        for (int i = 0; i < 20; ++i) {
            const std::string text = support::repeat(std::to_string(i) + "\n", 100'000);
            Job job = script("copy-to-both");
            job.input = Input::text(text);
            job.capture.max_size = 10'000;
            job.capture.spool_directory = spool.path();
            reactor.submit(std::move(job), [&right, text](RunResult&& result) {
                right += result.passed() && result.capture.text(STDOUT) == text &&
                                 result.capture.text(STDERR) == text && result.capture.text(STDIN) == text
                             ? 1
                             : 0;
            });
        }
        REQUIRE(reactor.run());
        CHECK(right == 20);
        CHECK(is_empty(spool.path()));
    }
    CHECK(support::open_descriptors() == before);
}

TEST_CASE("the temporary file has no name while it is used, and is closed with the last that needs it") {
    const TempDir spool;
    const auto before = support::open_descriptors();
    Capture capture(CaptureOptions{.max_size = 0, .spool_directory = spool.path()});
    {
        CaptureRecorder recorder = capture.record();
        recorder.add(STDOUT, "x", 0ms);
        CHECK(is_empty(spool.path()));
        CHECK(support::open_descriptors().size() == before.size() + 1);
        for (const int fd : support::open_descriptors()) {
            if (before.count(fd) == 0) CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        }
    }
    {
        auto playback = capture.playback();
        capture = Capture();
        CHECK(playback.next()->data == "x");
        CHECK(support::open_descriptors().size() == before.size() + 1);
    }
    CHECK(support::open_descriptors() == before);
}

TEST_CASE("no file is made for what fits into memory, or is not kept") {
    for (const bool keep : {true, false}) {
        Job job = script("fill 1 1000000");
        job.capture.keep = keep;
        job.capture.max_size = keep ? 1'001'000 : 0;
        job.capture.spool_directory = "/nowhere";
        CHECK(proctor::run(job).passed());
    }
}

TEST_CASE("a missing directory is an error of stage spool, which names it") {
    const TempDir dir;
    struct Case {
        std::string path;
        int error_number;
    };
    for (const Case& entry : {Case{dir.file("missing"), ENOENT}, {dir.write("file", ""), ENOTDIR}}) {
        CAPTURE(entry.path);
        Job job = script("fill 1 1000000 then pause");
        job.capture.max_size = 100'000;
        job.capture.spool_directory = entry.path;
        const RunResult result = proctor::run(job);
        CHECK(check_failed(result, entry.error_number, 1) == "");
        CHECK(result.error->message.find(entry.path) != std::string::npos);
        CHECK(result.error->cure.find("TMPDIR") != std::string::npos);
    }
}

TEST_CASE("without another directory it is TMPDIR's, or /tmp") {
    CHECK(support::in_host([]() -> std::string {
              const TempDir dir;
              setenv("TMPDIR", dir.file("missing").c_str(), 1);
              Job job = script("fill 1 1000000 then pause");
              job.capture.max_size = 0;
              std::string complaint = check_failed(proctor::run(job), ENOENT, 1);
              if (!complaint.empty()) return complaint;
              setenv("TMPDIR", "", 1);
              HOST_CHECK(proctor::detail::temporary_directory("") == "/tmp");
              HOST_CHECK(proctor::detail::temporary_directory("/other") == "/other");
              unsetenv("TMPDIR");
              HOST_CHECK(proctor::detail::temporary_directory("") == "/tmp");
              return {};
          }) == "");
}

TEST_CASE("a full disk ends the run with an error, and loses nothing of what was recorded before") {
    for (const char* const script_words : {"fill 1 100000000 then pause", "fill 1 500000 then pause"}) {
        CAPTURE(script_words);
        // Less than a piece is written at the end; then nobody is left to be killed.
        const bool at_end = std::string_view(script_words).find("500000") != std::string_view::npos;
        const std::string complaint = in_small_directory("size=128k", [&](const std::string& dir) -> std::string {
            Job job = script(script_words);
            job.capture.max_size = at_end ? 450'000 : 100'000;
            job.capture.spool_directory = dir;
            if (at_end) job.argv = {support::child(), "fill", "1", "640000", "then", "raise", "9"};
            const RunResult result = proctor::run(job);
            HOST_CHECK(is_empty(dir));
            return check_failed(result, ENOSPC, at_end ? 640'000 : 128 << 10);
        });
        if (complaint == "cannot mount") return support::skip("no mount may be made here");
        CHECK(complaint == "");
    }
}

TEST_CASE("a full disk while the child still takes input ends it too") {
    const std::string complaint = in_small_directory("size=1m", [](const std::string& dir) -> std::string {
        Job job = script("checksum then pause");
        job.input = Input::file("/dev/zero");
        job.capture.spool_directory = dir;
        job.capture.max_size = 0;
        const RunResult result = proctor::run(job);
        HOST_CHECK_RESULT(result.error && result.error->error_number == ENOSPC, result);
        HOST_CHECK_RESULT(result.capture.text(STDIN).size() >= (1U << 20), result);
        HOST_CHECK_RESULT(result.capture.size(STDIN) == static_cast<proctor::Bytes>(result.capture.text(STDIN).size()),
                          result);
        return {};
    });
    if (complaint == "cannot mount") return support::skip("no mount may be made here");
    CHECK(complaint == "");
}

TEST_CASE("a full disk under a recorder of one's own is its error, and it goes on counting") {
    const std::string complaint = in_small_directory("size=512k", [](const std::string& dir) -> std::string {
        Capture capture(CaptureOptions{.max_size = 1000, .spool_directory = dir});
        std::string expected;
        {
            CaptureRecorder recorder = capture.record();
            for (int i = 0; i < 200; ++i) {
                const std::string data(10'000, static_cast<char>('a' + i % 26));
                const bool failed = recorder.error().has_value();
                recorder.add(STDOUT, data, 1ms);
                if (!failed) expected += data;
            }
            HOST_CHECK(recorder.error().has_value());
            HOST_CHECK(recorder.error()->error_number == ENOSPC);
        }
        HOST_CHECK(expected.size() > (512U << 10));
        HOST_CHECK(capture.text(STDOUT) == expected);
        HOST_CHECK(capture.size(STDOUT) == static_cast<proctor::Bytes>(expected.size()));
        HOST_CHECK(capture.totals(STDOUT).total_bytes == 2'000'000);
        return {};
    });
    if (complaint == "cannot mount") return support::skip("no mount may be made here");
    CHECK(complaint == "");
}

TEST_CASE("a capture whose spool failed tells so when its recorder is gone") {
    const TempDir dir;
    Capture capture(CaptureOptions{.max_size = 10, .spool_directory = dir.file("missing")});
    CHECK_FALSE(capture.error());
    {
        auto recorder = capture.record();
        for (int i = 0; i < 3; ++i) recorder.add(STDOUT, "more than fits into memory", std::chrono::nanoseconds(i));
    }
    REQUIRE(capture.error());
    CHECK(capture.error()->stage == Stage::spool);
    CHECK(capture.totals(STDOUT).total_bytes > capture.size(STDOUT));
    CHECK_FALSE(Capture().error());
}

TEST_CASE("the limit of file sizes is an error, and does not kill the host by SIGXFSZ") {
    for (const rlim_t most : {rlim_t{0}, rlim_t{4096}, rlim_t{1'000'000}}) {
        CAPTURE(most);
        CHECK(support::in_host([most]() -> std::string {
                  const rlimit limit{most, most};
                  HOST_CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
                  Job job = script("fill 1 100000000 then pause");
                  job.capture.max_size = 0;
                  std::string complaint = check_failed(proctor::run(job), EFBIG, most);
                  if (!complaint.empty()) return complaint;
                  Capture capture(CaptureOptions{.max_size = 0});
                  CaptureRecorder recorder = capture.record();
                  std::string expected;
                  while (!recorder.error()) {
                      recorder.add(STDOUT, "0123456789", 0ms);
                      expected += "0123456789";
                  }
                  HOST_CHECK(recorder.error()->error_number == EFBIG);
                  HOST_CHECK(capture.text(STDOUT) == expected);
                  return {};
              }) == "");
    }
}

TEST_CASE("a host without descriptors left is told so") {
    CHECK(support::in_host([]() -> std::string {
              Capture capture(CaptureOptions{.max_size = 0});
              CaptureRecorder recorder = capture.record();
              const rlimit limit{0, 0};
              HOST_CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
              recorder.add(STDOUT, "kept", 0ms);
              HOST_CHECK(recorder.error().has_value());
              HOST_CHECK(recorder.error()->error_number == EMFILE);
              HOST_CHECK(recorder.error()->cure.find("ulimit -n") != std::string::npos);
              recorder.add(STDOUT, "counted", 0ms);
              HOST_CHECK(capture.text(STDOUT) == "kept");
              return {};
          }) == "");
}

TEST_CASE("a file that was made under a name has none when it is given") {
    const TempDir dir;
    {
        const auto file = proctor::detail::make_and_unlink(dir.path());
        REQUIRE(file);
        CHECK(is_empty(dir.path()));
        CHECK(pwrite(file.get(), "abc", 3, 0) == 3);
        char byte = 0;
        CHECK(pread(file.get(), &byte, 1, 2) == 1);
        CHECK(byte == 'c');
        CHECK((fcntl(file.get(), F_GETFD) & FD_CLOEXEC) != 0);
    }
    const auto none = proctor::detail::make_and_unlink(dir.file("missing"));
    CHECK(errno == ENOENT);
    CHECK_FALSE(none);
}

TEST_CASE("a file that somebody else shortens is an error of the playback, after what is still there") {
    Capture capture(CaptureOptions{.max_size = 0});
    const auto before = support::open_descriptors();
    {
        CaptureRecorder recorder = capture.record();
        recorder.add(STDOUT, std::string(200'000, 'a'), 1ms);
        recorder.add(STDOUT, std::string(200'000, 'b'), 1ms);
    }
    for (const int fd : support::open_descriptors()) {
        if (before.count(fd) == 0) REQUIRE(ftruncate(fd, 300'000) == 0);
    }
    auto playback = capture.playback();
    const auto first = playback.next();
    REQUIRE(first);
    CHECK((first->data == std::string(200'000, 'a')));
    CHECK_FALSE(playback.next());
    REQUIRE(playback.error());
    CHECK(playback.error()->stage == Stage::spool);
    CHECK(playback.error()->error_number == EIO);
    playback.rewind();
    CHECK(playback.next()->data.size() == 200'000);
}

TEST_CASE("a run that is ended while it spools keeps what it had, and a reactor that is destroyed leaves nothing") {
    const auto before = support::open_descriptors();
    {
        Job flood = script("fill 1 100000000000");
        flood.capture.max_size = 0;
        flood.capture.limits.max_stdout_bytes = 5'000'000;
        flood.capture.limit_ends_run = true;
        const RunResult result = proctor::run(flood);
        CHECK(result.reason == proctor::Reason::output_limit);
        CHECK((result.capture.text(STDOUT) == support::pattern(5'000'000)));

        proctor::Reactor reactor = support::make_reactor();
        proctor::JobHandle handle;
        proctor::Bytes seen = 0;
        RunResult end;
        flood.capture.limits = {};
        handle = reactor.submit(flood, {.on_record =
                                            [&](const CaptureRecord& record) {
                                                seen += static_cast<proctor::Bytes>(record.data.size());
                                                if (seen > 3'000'000) handle.cancel();
                                            },
                                        .on_end = [&](RunResult&& r) { end = std::move(r); }});
        REQUIRE(reactor.run());
        CHECK(end.error->stage == Stage::cancelled);
        CHECK((end.capture.text(STDOUT) == support::pattern(static_cast<std::size_t>(seen))));

        proctor::Bytes passed = 0;
        reactor.submit(flood, {.on_record = [&](const CaptureRecord& record) {
                           passed += static_cast<proctor::Bytes>(record.data.size());
                       }});
        while (passed < 3'000'000) REQUIRE(reactor.run_once());
    }
    CHECK(support::open_descriptors() == before);
}
