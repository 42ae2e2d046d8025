// SPDX-License-Identifier: MIT
#pragma once

#include "capture/frame_store.hpp"
#include "ring/engine.hpp"

namespace proctor::detail {

/// What a SpoolWriter tells its run.
class SpoolOwner {
public:
    /// A write has ended: there may be room again, all may be done, or the store has an error.
    virtual void on_spool_moved() noexcept = 0;

protected:
    ~SpoolOwner() = default;
};

/// Writes what waits in a store through the ring: one piece at a time, while the next one fills. When both are full it
/// says so, and its owner must take nothing more until there is room.
class SpoolWriter {
public:
    SpoolWriter(Engine& engine, SpoolOwner& owner) noexcept : engine_(engine), owner_(owner) {}

    /// The store must live until close().
    void open(FrameStore& store) noexcept;
    /// Ready for another run. No request may be in flight.
    void close() noexcept;
    void forsake() noexcept { write_.forsake(); }

    /// After each append. The store may have an error afterwards.
    void pump() noexcept;
    [[nodiscard]] bool full() const noexcept;
    /// Nothing more will be appended: whether all is written, or has failed. If not, it is on the way.
    [[nodiscard]] bool finish() noexcept;

private:
    void write_next() noexcept;
    void on_written(int result) noexcept;

    Engine& engine_;
    SpoolOwner& owner_;
    FrameStore* store_ = nullptr;
    bool finishing_ = false;
    Bound<Write, SpoolWriter, &SpoolWriter::on_written> write_{*this};
};

}  // namespace proctor::detail
