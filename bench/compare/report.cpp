// SPDX-License-Identifier: MIT
#include "report.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <set>

#include "vfork_child.hpp"

namespace compare {

namespace {

struct Summary {
    double median = 0;
    double least = 0;
    double greatest = 0;
};

Summary summary_of(const std::vector<double>& values) {
    return {quantile(values, 0.5), quantile(values, 0), quantile(values, 1)};
}

std::string text_of(const char* format, double value) {
    char text[64];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

// Four digits, as many as a measurement can have.
std::string number(double value) { return value >= 1000 ? text_of("%.0f", value) : text_of("%.4g", value); }

// Of the peer to whom all are compared.
const Cell* reference(const Results::Table& table) {
    const auto row =
        std::find_if(table.rows.begin(), table.rows.end(), [](const auto& each) { return each.peer == "proctor"; });
    return row == table.rows.end() ? nullptr : &row->cell;
}

std::string ratio(const Cell* proctor, const std::string& figure, double median) {
    if (proctor == nullptr || median == 0) {
        return "-";
    }
    const auto values = proctor->figures.find(figure);
    return values == proctor->figures.end() ? "-" : text_of("%.2f", quantile(values->second, 0.5) / median);
}

void print_figure(const Results::Table& table, const std::string& figure) {
    std::printf("  %-18s %12s %26s %16s\n", figure.c_str(), "median", "least - greatest", "proctor / peer");
    for (const Results::Row& row : table.rows) {
        const auto values = row.cell.figures.find(figure);
        if (values == row.cell.figures.end()) {
            continue;
        }
        const Summary found = summary_of(values->second);
        const std::string spread = number(found.least) + " - " + number(found.greatest);
        std::printf("    %-16s %12s %26s %16s\n", row.peer.c_str(), number(found.median).c_str(), spread.c_str(),
                    ratio(reference(table), figure, found.median).c_str());
    }
}

void print_table(const Results::Table& table) {
    std::printf("\n%s\n", table.workload.c_str());
    std::set<std::string> figures;
    for (const Results::Row& row : table.rows) {
        for (const auto& figure : row.cell.figures) {
            figures.insert(figure.first);
        }
    }
    for (const std::string& figure : figures) {
        print_figure(table, figure);
    }
    for (const Results::Row& row : table.rows) {
        if (!row.cell.failure.empty()) {
            std::printf("  FAILED: %s: %s\n", row.peer.c_str(), row.cell.failure.c_str());
        }
        if (!row.cell.unavailable.empty()) {
            std::printf("  unavailable: %s: %s\n", row.peer.c_str(), row.cell.unavailable.c_str());
        }
    }
}

// Names of workloads, peers and figures are plain words.
std::string json_of(const Cell& cell) {
    std::string text;
    for (const auto& figure : cell.figures) {
        const Summary found = summary_of(figure.second);
        text += std::string(text.empty() ? "" : ", ") + '"' + figure.first +
                "\": {\"median\": " + text_of("%.9g", found.median) + ", \"min\": " + text_of("%.9g", found.least) +
                ", \"max\": " + text_of("%.9g", found.greatest) + '}';
    }
    return '{' + text + '}';
}

std::string json_of(const Results::Table& table) {
    std::string text;
    for (const Results::Row& row : table.rows) {
        if (!row.cell.figures.empty() && row.cell.failure.empty()) {
            text += std::string(text.empty() ? "" : ",") + "\n    \"" + row.peer + "\": " + json_of(row.cell);
        }
    }
    return '{' + text + "\n  }";
}

}  // namespace

void print_tables(const Results& results) {
    for (const Results::Table& table : results.tables) {
        print_table(table);
    }
}

void write_json(const Results& results, const std::string& file) {
    std::string text;
    for (const Results::Table& table : results.tables) {
        text += std::string(text.empty() ? "" : ",") + "\n  \"" + table.workload + "\": " + json_of(table);
    }
    text = '{' + text + "\n}\n";
    std::FILE* const out = std::fopen(file.c_str(), "we");
    if (out == nullptr) {
        throw_errno(file.c_str());
    }
    const bool written = std::fwrite(text.data(), 1, text.size(), out) == text.size();
    if (std::fclose(out) != 0 || !written) {
        throw_errno(file.c_str());
    }
}

}  // namespace compare
