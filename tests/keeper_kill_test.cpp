// SPDX-License-Identifier: MIT
//
// Nothing of a job in a keeper outlives a kill or its host, whatever it does; and what there is when the keeper itself
// is killed.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kept_job.hpp"
#include "support.hpp"

using proctor::Job;
using support::as_nobody;
using support::keeper_path;
using support::KeptJob;
using support::nobody;
using support::readable;
using support::script;
using support::TempDir;
using support::Word;

namespace {

// Scripts that say `r` on 8 when those who try to escape are there.
const std::vector<std::string> escapes{
    "fork [ ready then pause ] then print-to 8 r then pause",
    // a session of its own
    "fork [ new-session then ready then pause ] then print-to 8 r then pause",
    // a double fork, main gone
    "fork [ new-session then fork [ ready then await-orphaned then print-to 8 r then pause ] ]",
    // nohup
    "fork [ ignore 1 then new-session then ready then pause ] then print-to 8 r",
    // deaf to polite signals, everybody
    ("ignore 15 then ignore 2 then fork [ ignore 15 then new-session then ready then pause ] then print-to 8 r then "
     "pause"),
    // stopped, in the group and out of it
    "fork [ ready then raise 19 ] then fork [ new-session then ready then raise 19 ] then print-to 8 r then raise 19",
    // a long line of descent
    ("fork [ fork [ fork [ fork [ fork [ new-session then ready then pause ] then ready then pause ] then ready then "
     "pause ] then ready then pause ] then ready then pause ] then print-to 8 r then pause"),
};

}  // namespace

TEST_CASE("nobody escapes a kill, with and without the kernel's lists of children") {
    for (const bool without_lists : {false, true}) {
        for (const std::string& words : escapes) {
            CAPTURE(words);
            Job job = script(words);
            support::Witness witness(job);
            const Word word(job);
            KeptJob kept(job, {keeper_path(), without_lists});
            REQUIRE(kept.await_started());
            REQUIRE(word.await());
            CHECK(kept.kill());
            CHECK_FALSE(witness.anybody_left());
        }
    }
}

TEST_CASE("nobody escapes the kill of a host without rights") {
    if (geteuid() != 0) return;
    const TempDir dir;
    const std::string keeper = support::copy_keeper(dir);
    const std::string child = dir.copy_child("child");
    for (const bool without_lists : {false, true}) {
        for (const std::string& words : escapes) {
            CAPTURE(words);
            Job job = script(words);
            job.argv[0] = child;
            support::Witness witness(job);
            const Word word(job);
            CHECK(support::in_host([&]() -> std::string {
                      HOST_CHECK(setresuid(nobody, nobody, nobody) == 0);
                      KeptJob kept(job, {keeper, without_lists});
                      HOST_CHECK(kept.await_started());
                      HOST_CHECK(word.await());
                      HOST_CHECK(kept.kill());
                      return {};
                  }) == "");
            CHECK_FALSE(witness.anybody_left());
        }
    }
}

TEST_CASE("processes that multiply or hand on their work are overtaken by the kill") {
    for (const bool without_lists : {false, true}) {
        for (const char* const words : {"fork [ new-session then multiply 5 ] then pause", "relay 2000",
                                        "fork [ relay 2000 ] then fork [ new-session then relay 2000 ] then pause"}) {
            CAPTURE(words);
            Job job = script(words);
            support::Witness witness(job);
            KeptJob kept(job, {keeper_path(), without_lists});
            REQUIRE(kept.await_started());
            CHECK(kept.kill());
            CHECK_FALSE(witness.anybody_left());
        }
    }
}

TEST_CASE("a signal reaches every process of the tree") {
    for (const bool without_lists : {false, true}) {
        Job job = script(
            "on-signal-exit 15 main 3 then fork [ on-signal-exit 15 deep 0 then new-session then fork [ on-signal-exit "
            "15 deep 0 then ready then pause ] then ready then pause ] then print-to 8 r then pause");
        const Word word(job);
        KeptJob kept(job, {keeper_path(), without_lists});
        REQUIRE(word.await());
        CHECK(kept.control().signal(SIGTERM) == 0);
        const std::string output = kept.output();
        CHECK(output.size() == 12);
        CHECK(output.find("main") != std::string::npos);
        CHECK(kept.await_empty());
        CHECK(WEXITSTATUS(kept.report().wait_status) == 3);
    }
}

TEST_CASE("a start that is not yet done can be killed") {
    const TempDir dir;
    Job job = script("exit 0");
    job.argv[0] = dir.copy_child("busy");
    // While somebody may write to it, the child tries again, for a tenth of a second. On a slow machine that may be
    // over before the order comes, so there are more tries here too.
    const support::Fd writer = support::open_file(job.argv[0], O_WRONLY | O_CLOEXEC);
    bool killed = false;
    for (int tries = 0; tries < 20 && !killed; ++tries) {
        KeptJob kept(job);
        CHECK(kept.kill());
        // It met the child after its stamp and before the kernel's answer: as if it had begun.
        if ((kept.told() & proctor::detail::keeper_started) != 0) continue;
        CHECK_FALSE(kept.stamp().has_value());
        const auto error = kept.error();
        REQUIRE(error.has_value());
        killed = error->stage == proctor::Stage::start;
    }
    CHECK(killed);
}

TEST_CASE("to let go of the socket is to kill the job") {
    for (const std::string& words : escapes) {
        CAPTURE(words);
        Job job = script(words);
        support::Witness witness(job);
        const Word word(job);
        KeptJob kept(job);
        REQUIRE(word.await());
        kept.control().close();
        CHECK(witness.all_gone());
        CHECK(readable(kept.keeper().pidfd()));
    }
}

TEST_CASE("a host that is killed leaves nothing") {
    for (const std::string moment : {"launched", "started", "escaped", "killing", "main ended"}) {
        for (const std::string& words : escapes) {
            CAPTURE(moment);
            CAPTURE(words);
            Job job = script(words);
            support::Witness witness(job);
            const Word word(job);
            const std::string complaint = support::in_host([&]() -> std::string {
                const auto kept = std::make_unique<KeptJob>(job);
                if (moment != "launched") HOST_CHECK(kept->await_started());
                if (moment == "escaped" || moment == "killing") HOST_CHECK(word.await());
                if (moment == "killing") HOST_CHECK(kept->control().kill() == 0);
                if (moment == "main ended") {
                    HOST_CHECK(word.await());
                    (void)kept->signal_main(SIGKILL);  // where it has not ended by itself
                    HOST_CHECK(kept->await_main_end());
                }
                kill(getpid(), SIGKILL);
                return "still alive";
            });
            CHECK(complaint == "the host was killed by signal 9");
            CHECK(witness.all_gone());
        }
    }
}

TEST_CASE("a killed host leaves nothing although its keeper was stopped") {
    Job job = script("fork [ new-session then ready then pause ] then print-to 8 r then pause");
    support::Witness witness(job);
    const Word word(job);
    const std::string complaint = support::in_host([&]() -> std::string {
        const auto kept = std::make_unique<KeptJob>(job);
        HOST_CHECK(kept->await_started() && word.await());
        // The kernel continues a group that its parent's death leaves stopped and without a parent in its session.
        HOST_CHECK(kept->keeper().signal(SIGSTOP) == 0);
        siginfo_t info{};
        HOST_CHECK(waitid(P_PID, static_cast<id_t>(kept->keeper().pid()), &info, WSTOPPED) == 0);
        kill(getpid(), SIGKILL);
        return "still alive";
    });
    CHECK(complaint == "the host was killed by signal 9");
    CHECK(witness.all_gone());
}

TEST_CASE("a killed host leaves nothing although a forked a forked copy of it lives on") {
    Job job = script("fork [ new-session then ready then pause ] then print-to 8 r then pause");
    support::Witness witness(job);
    const Word word(job);
    support::Pipe copy_lives;
    const std::string complaint = support::in_host([&]() -> std::string {
        const auto kept = std::make_unique<KeptJob>(job);
        HOST_CHECK(kept->await_started() && word.await());
        const pid_t pid = fork();
        HOST_CHECK(pid >= 0);
        if (pid == 0) {
            // Holds the socket, and nothing that would keep the test waiting. Goes when the keeper has gone.
            for (const int fd : support::open_descriptors()) {
                if (fd != kept->control().socket() && fd != copy_lives.write_end.get()) close(fd);
            }
            (void)readable(kept->control().socket());
            _exit(0);
        }
        kill(getpid(), SIGKILL);
        return "still alive";
    });
    CHECK(complaint == "the host was killed by signal 9");
    CHECK(witness.all_gone());
    copy_lives.write_end.reset();
    CHECK(support::await_end(copy_lives.read_end.get()));
}

TEST_CASE("the end of the thread that launched a job ends the job only if it asks for that") {
    for (const bool asks : {false, true}) {
        Job job = script("on-signal-exit 10 told 7 then print-to 8 r then await-end 0");
        job.input = proctor::Input::held_open();
        if (asks) job.parent_death_signal = SIGUSR1;
        const Word word(job);
        std::unique_ptr<KeptJob> kept;
        bool ready = false;
        std::thread([&] {
            kept = std::make_unique<KeptJob>(job);
            ready = kept->await_started() && word.await();
        }).join();
        REQUIRE(ready);
        if (!asks) CHECK(kept->control().signal(SIGKILL) == 0);
        CHECK(kept->await_empty());
        const int status = kept->report().wait_status;
        CHECK((asks ? WIFEXITED(status) && WEXITSTATUS(status) == 7 : WTERMSIG(status) == SIGKILL));
    }
}

TEST_CASE("a keeper that is killed from outside is seen to be gone, and the group can still be killed") {
    Job job = script("fork [ ready then pause ] then print-to 8 r then pause");
    support::Witness witness(job);
    const Word word(job);
    KeptJob kept(job);
    REQUIRE(kept.await_started());
    REQUIRE(word.await());
    CHECK(kept.keeper().signal(SIGKILL) == 0);
    CHECK(readable(kept.keeper().pidfd()));
    CHECK_FALSE(kept.await_main_end());
    CHECK(kept.control().kill() == -EPIPE);
    // The main process dies with it; what it had started does not.
    CHECK(readable(kept.pidfd()));
    CHECK(witness.anybody_left());
    CHECK(::kill(-kept.report().pid, SIGKILL) == 0);
}

TEST_CASE("a program does not get free by killing its keeper, however early") {
    Job job = script("raise-parent 9 then pause");
    support::Witness witness(job);
    KeptJob kept(job);
    CHECK(readable(kept.keeper().pidfd()));
    CHECK(witness.all_gone());
}

TEST_CASE("what a keeper said before it was killed is received although it left orders unread") {
    KeptJob kept(script("pause"));
    REQUIRE(readable(kept.control().socket()));
    CHECK(kept.keeper().signal(SIGSTOP) == 0);
    CHECK(kept.control().signal(0) == 0);
    CHECK(kept.keeper().signal(SIGKILL) == 0);
    REQUIRE(readable(kept.keeper().pidfd()));
    REQUIRE(kept.await_started());
    CHECK_FALSE(kept.await_main_end());
    CHECK(readable(kept.pidfd()));  // its death kills the main process
}

TEST_CASE("what a keeper said before it went is received although an order was sent after it") {
    KeptJob kept(script("exit 3"));
    REQUIRE(kept.await_started());
    REQUIRE(readable(kept.keeper().pidfd()));
    for (int i = 0; i < 3; ++i) CHECK(kept.control().kill() != 0);
    CHECK(kept.await_main_end());
    CHECK(WEXITSTATUS(kept.report().wait_status) == 3);
}

TEST_CASE("a keeper shrugs off every signal that can be blocked, and keeps its host's user") {
    Job job = script("print-to 8 r then pause");
    const Word word(job);
    const TempDir dir;
    if (geteuid() == 0) {
        job.argv[0] = dir.copy_child("child");
        job.user = proctor::User{.uid = nobody};
    }
    KeptJob kept(job);
    REQUIRE(kept.await_started());
    REQUIRE(word.await());
    for (int number = 1; number < 64; ++number) {
        if (number == SIGKILL || number == SIGSTOP) continue;
        CHECK(::kill(kept.keeper().pid(), number) == 0);
    }
    const std::string pid = std::to_string(kept.keeper().pid());
    CHECK(support::status_field(pid, "Uid") == support::status_field("self", "Uid"));
    CHECK(kept.kill());
    CHECK(WTERMSIG(kept.report().wait_status) == SIGKILL);
}
