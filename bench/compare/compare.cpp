// SPDX-License-Identifier: MIT
//
// The same workloads through proctor, through loops that one writes by hand, and through other libraries. Each
// measurement is made in a process of its own, in several rounds, with the peers in turn in an order that is shuffled
// anew each time, so that what else the machine does meets all alike.
//
//     compare [--json FILE] [--quick] [--workload NAME]... [--peer NAME]... [--rounds N]
//
// Exit status 1 if a measurement failed.
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "../machine.hpp"
#include "driver.hpp"
#include "measure.hpp"
#include "report.hpp"
#include "workloads.hpp"

namespace {

template <typename Named>
std::vector<std::string> names_of(const std::vector<Named>& all) {
    std::vector<std::string> names;
    for (const Named& each : all) names.push_back(each.name);
    return names;
}

int run(const compare::Plan& plan, const std::string& json) {
    std::printf("%s\n", bench::describe_machine().c_str());
    std::fflush(stdout);
    const bench::Disturbance disturbance;
    const compare::Results results = compare::run_plan(plan);
    compare::print_tables(results);
    if (const auto others = disturbance.percent()) {
        std::printf("\nOther programs took %d %% of the processors' time.\n", *others);
    }
    if (!json.empty()) compare::write_json(results, json);
    return results.failed() ? 1 : 0;
}

}  // namespace

int main(int argument_count, char** arguments) {
    CLI::App app("Compares proctor with other ways to run programs.", "compare");
    compare::Plan plan;
    std::string json;
    std::vector<std::string> one;
    app.add_option("--json", json, "Write the figures to this file");
    app.add_flag("--quick", plan.quick, "See that everything works, and measure next to nothing");
    app.add_option("--workload", plan.workloads, "Only this one (repeatable)")
        ->check(CLI::IsMember(names_of(compare::all_workloads())));
    app.add_option("--peer", plan.peers, "Only this one (repeatable)")
        ->check(CLI::IsMember(names_of(compare::all_contenders())));
    app.add_option("--rounds", plan.rounds, "How often each is measured (default 5)")->check(CLI::Range(1, 1000));
    // What this program calls itself with: one measurement.
    app.add_option("--measure", one)->expected(2)->group("");
    CLI11_PARSE(app, argument_count, arguments);
    try {
        compare::raise_descriptor_limit();
        return one.empty() ? run(plan, json) : compare::measure(one[0], one[1], plan.quick);
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "compare: %s\n", failure.what());
        return 1;
    }
}
