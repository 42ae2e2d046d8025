// SPDX-License-Identifier: MIT
#pragma once

/// Marks what the shared library exports; everything else has hidden visibility.
#define PROCTOR_API __attribute__((visibility("default")))

/// The version of these headers, and its only place: the build reads it from here.
#define PROCTOR_VERSION "0.1.0"
