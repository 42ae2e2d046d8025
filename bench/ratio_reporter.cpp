// SPDX-License-Identifier: MIT
#include "ratio_reporter.hpp"

#include <algorithm>
#include <iomanip>
#include <iterator>
#include <sstream>

namespace bench {

namespace {

using Run = benchmark::BenchmarkReporter::Run;

// Fewer say nothing about the spread.
constexpr std::size_t least_repetitions = 10;

// The kernel's own threads, which clean up after our children, take some of it even on an idle machine.
constexpr int most_disturbance_percent = 10;

constexpr int name_width = 14;
constexpr int column_width = 26;

// What the run says is wrong, or nothing. The members have other names from version 1.8 on.
template <typename AnyRun>
std::string complaint(const AnyRun& run) {
    if constexpr (requires { run.error_occurred; }) {
        return run.error_occurred ? run.error_message : std::string();
    } else {
        return run.skipped ? run.skip_message : std::string();
    }
}

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    if (values.size() % 2 == 1) {
        return *middle;
    }
    return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

std::string ratio(const std::vector<double>& values, double unit) {
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    std::ostringstream text;
    text << std::fixed << std::setprecision(2) << median(values) / unit << "  (" << *least / unit << " - "
         << *most / unit << ')';
    return text.str();
}

}  // namespace

bool RatioReporter::ReportContext(const Context& /*context*/) {
    GetOutputStream() << describe_machine() << '\n' << std::flush;
#ifndef __OPTIMIZE__
    GetErrorStream() << "This is a build without optimisation: its ratios say nothing. Configure the build folder with "
                        "-Dbuildtype=release.\n";
#endif
    return true;
}

void RatioReporter::ReportRuns(const std::vector<Run>& runs) {
    for (const Run& run : runs) {
        if (const std::string wrong = complaint(run); !wrong.empty()) {
            GetErrorStream() << run.benchmark_name() << " failed: " << wrong << '\n';
            failed_ = true;
            continue;
        }
        if (run.run_type != Run::RT_Iteration) {
            continue;
        }
        const std::string& name = run.run_name.function_name;
        const std::size_t slash = name.rfind('/');
        const std::string measurement = name.substr(0, slash);
        Group& group = groups_[{measurement, run.per_family_instance_index}];
        group.name = measurement + ", " + run.run_name.args;
        Samples& samples = group.contenders[name.substr(slash + 1)];
        samples.real_time.push_back(run.GetAdjustedRealTime());
        samples.host_processor_time.push_back(run.GetAdjustedCPUTime());
        samples.jobs_per_second.push_back(static_cast<double>(run.iterations) / run.real_accumulated_time);
    }
}

void RatioReporter::Finalize() {
    std::ostream& out = GetOutputStream();
    if (const auto percent = disturbance_.percent()) {
        out << "Processor time that other programs took meanwhile: " << *percent << " %"
            << (*percent > most_disturbance_percent ? ". Too much: measure again when they are quiet.\n" : "\n");
    }
    out << "Times per job, divided by the median of " << baseline_ << ": median (least - most) of all repetitions.\n";
    for (const auto& [key, group] : groups_) {
        print_group(group);
    }
    out << std::flush;
}

void RatioReporter::print_group(const Group& group) {
    std::ostream& out = GetOutputStream();
    out << '\n' << group.name << '\n';
    const auto baseline = group.contenders.find(baseline_);
    if (baseline == group.contenders.end()) {
        out << "  no ratio: " << baseline_ << " was not run\n";
        return;
    }
    out << std::left << "  " << std::setw(name_width) << "" << std::setw(column_width) << "real time"
        << std::setw(column_width) << "host's processor time"
        << "jobs/s\n";
    std::size_t fewest = baseline->second.real_time.size();
    for (const auto& [contender, samples] : group.contenders) {
        fewest = std::min(fewest, samples.real_time.size());
        out << "  " << std::setw(name_width) << contender << std::setw(column_width)
            << ratio(samples.real_time, median(baseline->second.real_time)) << std::setw(column_width)
            << ratio(samples.host_processor_time, median(baseline->second.host_processor_time)) << std::fixed
            << std::setprecision(0) << median(samples.jobs_per_second) << '\n';
    }
    if (fewest < least_repetitions) {
        out << "  " << fewest << " of the " << least_repetitions
            << " repetitions that a ratio needs: it says nothing\n";
    }
}

int run_with_ratios(int argument_count, char** arguments, const RatioPlan& plan) {
    // In front of the caller's own, which win.
    std::string repetitions = "--benchmark_repetitions=" + std::to_string(plan.repetitions);
    std::string seconds = "--benchmark_min_time=" + std::string(plan.seconds);
    std::string shuffled = "--benchmark_enable_random_interleaving=true";
    std::vector<char*> all(arguments, arguments + argument_count);
    all.insert(all.begin() + 1, {repetitions.data(), seconds.data(), shuffled.data()});
    int all_count = static_cast<int>(all.size());
    all.push_back(nullptr);
    benchmark::Initialize(&all_count, all.data());
    if (benchmark::ReportUnrecognizedArguments(all_count, all.data())) {
        return 2;
    }
    RatioReporter reporter(plan.baseline);
    const std::size_t matching = benchmark::RunSpecifiedBenchmarks(&reporter);
    return matching > 0 && !reporter.failed() ? 0 : 1;
}

}  // namespace bench
