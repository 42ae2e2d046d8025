// SPDX-License-Identifier: MIT
#include "soak_jobs.hpp"

#include <cstdio>
#include <memory>
#include <sstream>

namespace soak {

using proctor::RunResult;

std::string_view pattern(std::size_t size) {
    static const std::string all = [] {
        std::string bytes(std::size_t{8} << 20, '\0');
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            bytes[i] = static_cast<char>(i ^ (i >> 8) ^ (i >> 16) ^ (i >> 24));
        }
        return bytes;
    }();
    return std::string_view(all).substr(0, size);
}

std::string describe(const RunResult& result) {
    std::ostringstream out;
    out << "outcome " << result.outcome;
    if (result.reason) out << ", reason " << *result.reason;
    if (result.returncode) out << ", returncode " << *result.returncode;
    if (result.error) out << ", error " << *result.error;
    if (result.usage) {
        out << ", wall " << result.usage->wctime.count() << " ns, cpu "
            << (result.usage->utime + result.usage->stime).count() << " ns";
    }
    for (const proctor::Stream stream : {proctor::STDIN, proctor::STDOUT, proctor::STDERR}) {
        const proctor::StreamTotals totals = result.capture.totals(stream);
        out << ", " << stream << " " << totals.bytes << " of " << totals.total_bytes;
    }
    out << ", says \"" << result.capture.text(proctor::STDERR).substr(0, 200) << '"';
    return out.str();
}

std::string_view name_of(proctor::Containment containment) {
    switch (containment) {
        case proctor::Containment::automatic: return "automatic";
        case proctor::Containment::cgroup: return "cgroup";
        case proctor::Containment::keeper: return "keeper";
        case proctor::Containment::tree: return "tree";
    }
    return "";
}

// --- Tally

void Tally::note(const std::string& kind, std::string_view containment, const std::string& fault) {
    auto& [jobs, failures] = kinds_[kind];
    ++jobs;
    ++jobs_;
    if (fault.empty()) return;
    ++failures;
    blame(kind + " (" + std::string(containment) + "): " + fault);
}

void Tally::blame(const std::string& fault) {
    constexpr std::size_t shown = 50;
    if (++failures_ > shown) return;
    std::printf("FAILURE %s\n", fault.c_str());
}

std::string Tally::failed_kinds() const {
    std::string text;
    for (const auto& [name, counts] : kinds_) {
        if (counts.second > 0) text += (text.empty() ? "" : ", ") + name + " " + std::to_string(counts.second);
    }
    return text.empty() ? "none" : text;
}

std::string Tally::all_kinds() const {
    std::string text;
    for (const auto& [name, counts] : kinds_) {
        text += (text.empty() ? "" : ", ") + name + " " + std::to_string(counts.first);
    }
    return text;
}

// --- Jobs

void Jobs::submit_one() {
    static const unsigned weights = [] {
        unsigned sum = 0;
        for (const Kind& each : kinds()) sum += each.weight;
        return sum;
    }();
    auto left = random_.below(weights);
    for (const Kind& each : kinds()) {
        if (left < each.weight) {
            kind_ = each.name;
            (this->*each.submit)();
            return;
        }
        left -= each.weight;
    }
}

void Jobs::act() {
    while (!acts_.empty() && acts_.begin()->first <= Clock::now()) {
        const auto what = std::move(acts_.begin()->second);
        acts_.erase(acts_.begin());
        what();
    }
    if (open_.empty()) forgiving_ = false;
}

void Jobs::cancel_all() {
    forgiving_ = true;
    reactor_.cancel_all();
}

std::string Jobs::open_kinds() const {
    std::string text;
    for (const auto& [id, each] : open_) {
        const auto age = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - each.since);
        text += std::string(" ") + each.kind + " (" + std::to_string(age.count()) + " s)";
    }
    return text;
}

Clock::time_point Jobs::next_act() const { return acts_.empty() ? Clock::time_point::max() : acts_.begin()->first; }

proctor::Job Jobs::script(std::string_view words) const {
    proctor::Job job{.argv = {places_.child}};
    std::istringstream in{std::string(words)};
    for (std::string word; in >> word;) job.argv.push_back(word);
    return job;
}

std::uint64_t Jobs::open_job() {
    open_.emplace(++last_id_, Open{.kind = kind_, .since = Clock::now()});
    return last_id_;
}

void Jobs::close_job(std::uint64_t id, const RunResult& result, const Check& check) {
    const auto found = open_.find(id);
    if (found == open_.end()) return tally_.blame("a job has two results: " + describe(result));
    const std::string kind = found->second.kind;
    open_.erase(found);
    const bool cancelled = result.error && result.error->stage == proctor::Stage::cancelled;
    tally_.note(kind, name_of(containment_), forgiving_ && cancelled ? "" : check(result));
}

proctor::JobHandle Jobs::start(proctor::Job job, Check check, proctor::Handlers handlers) {
    // An id of its own stays with the handler, so that a second call for the same job shows.
    handlers.on_end = [this, id = open_job(), check = std::move(check)](RunResult&& result) {
        close_job(id, result, check);
    };
    return reactor_.submit(std::move(job), std::move(handlers));
}

void Jobs::later(std::chrono::nanoseconds delay, std::function<void()> what) {
    acts_.emplace(Clock::now() + delay, std::move(what));
}

}  // namespace soak
