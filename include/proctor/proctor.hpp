// SPDX-License-Identifier: MIT
#pragma once

#include <proctor/capture.hpp>
#include <proctor/capture_json.hpp>
#include <proctor/capture_lines.hpp>
#include <proctor/communicate.hpp>
#include <proctor/doctor.hpp>
#include <proctor/error.hpp>
#include <proctor/job.hpp>
#include <proctor/json.hpp>
#include <proctor/limits.hpp>
#include <proctor/monitor.hpp>
#include <proctor/pair.hpp>
#include <proctor/placement.hpp>
#include <proctor/playback.hpp>
#include <proctor/reactor.hpp>
#include <proctor/recorder.hpp>
#include <proctor/result.hpp>
#include <proctor/stdio.hpp>
#include <proctor/units.hpp>
