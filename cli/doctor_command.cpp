// SPDX-License-Identifier: MIT
#include "doctor_command.hpp"

#include <fmt/format.h>

#include <proctor/doctor.hpp>

#include "exit_status.hpp"

namespace proctor::cli {

Diagnosis diagnose(const DoctorRequest& request) {
    Diagnosis diagnosis;
    for (const Capability& each : examine(request.reactor)) {
        diagnosis.text += fmt::format("{:<11} {:<4} {}", each.name, each.available ? "yes" : "no", each.detail);
        if (!each.cure.empty()) {
            diagnosis.text += fmt::format(" — {}", each.cure);
        }
        diagnosis.text += '\n';
        if (!each.available && (each.name == "engine" || each.name == "containment")) {
            diagnosis.status = failure_status;
        }
    }
    return diagnosis;
}

}  // namespace proctor::cli
