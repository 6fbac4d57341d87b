// Built with -fvisibility=hidden and without TRIVET_EXPORT.
#include "trivet_plugin.h"
#undef TRIVET_EXPORT
#define TRIVET_EXPORT __attribute__((visibility("hidden")))
#define ENTRY hidden_plugin
#include "fixture.h"
