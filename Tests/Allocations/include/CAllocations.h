// Counts what one thread allocates, for tests that promise that it allocates nothing.

#ifndef CALLOCATIONS_H
#define CALLOCATIONS_H

#include <stdbool.h>
#include <stdint.h>

// Counts from 0 the allocations of the thread with this id (gettid), once nobody else is being watched;
// 0: ends that. Who watches must end it, also when the test fails.
void allocations_watch(int32_t thread);
// How many there were since.
uint64_t allocations_count(void);
// Whether they are counted at all: not in a build for a sanitizer, where the count stays 0.
bool allocations_are_counted(void);

/// Whether this is a build for the thread sanitizer, which has a thread of its own in every process, and
/// a map of memory in which a wild write may hit something.
bool threads_are_watched(void);

#endif
