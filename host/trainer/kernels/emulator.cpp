// Test only: the fibers and the launches of emulator.h.
#include "airlock.cu"

#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <ucontext.h>
#include <vector>

enum Status { READY, AT_BARRIER, AT_EXCHANGE, DONE };

static const size_t STACK_BYTES = 64 * 1024;

struct Warp {
    // Two, so that a lane may come to the next exchange while others read the last one.
    uint64_t values[2][32];
    unsigned generation;
};

struct Fiber {
    ucontext_t context;
    jmp_buf place;
    std::vector<char> stack;
    dim3 thread;
    Warp* warp;
    Status status;
    unsigned mask;
    int line;
};

typedef void (*Kernel)(Job, u32);

struct Machine {
    std::vector<Fiber*> fibers;
    std::vector<Warp> warps;
    ucontext_t home;
    jmp_buf home_place;
    Kernel kernel;
    const Job* job;
    u32 step;
    uint64_t order;
    const char* fault;
    bool alive;
};

thread_local Emulated emulated;
static thread_local Machine machine;

static uint64_t draw() {
    machine.order = machine.order * 6364136223846793005ull + 1442695040888963407ull;
    return machine.order >> 33;
}

dim3 emulated_thread() { return emulated.fiber->thread; }

static void leave(Status status) {
    Fiber* fiber = emulated.fiber;
    fiber->status = status;
    if (!_setjmp(fiber->place)) _longjmp(machine.home_place, 1);
}

void emulated_barrier(int line) {
    emulated.fiber->line = line;
    leave(AT_BARRIER);
}

void emulated_exchange(uint64_t value, unsigned mask, const uint64_t** all, int line) {
    Fiber* fiber = emulated.fiber;
    uint64_t* values = fiber->warp->values[fiber->warp->generation & 1];
    values[fiber->thread.x % 32] = value;
    fiber->mask = mask;
    fiber->line = line;
    *all = values;
    leave(AT_EXCHANGE);
}

void emulated_pause() {
    if (machine.order != 0 && draw() % 8 == 0) leave(READY);
}

static void body() {
    machine.kernel(*machine.job, machine.step);
    emulated.fiber->status = DONE;
    _longjmp(machine.home_place, 1);
}

static void resume(Fiber* fiber, bool is_new) {
    emulated.fiber = fiber;
    if (_setjmp(machine.home_place)) return;
    if (!is_new) _longjmp(fiber->place, 1);
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack.data();
    fiber->context.uc_stack.ss_size = fiber->stack.size();
    fiber->context.uc_link = nullptr;
    makecontext(&fiber->context, body, 0);
    swapcontext(&machine.home, &fiber->context);
}

static void shuffle(std::vector<unsigned>& order) {
    if (machine.order == 0) return;
    for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[draw() % i]);
}

// Lets the lanes of a warp go on when all that the mask names have come.
static bool release_warp(unsigned warp, unsigned threads) {
    unsigned waiting = 0, mask = 0, expected = 0;
    int line = -1;
    for (unsigned lane = 0; lane < 32 && warp * 32 + lane < threads; lane++) {
        Fiber* fiber = machine.fibers[warp * 32 + lane];
        expected |= 1u << lane;
        if (fiber->status != AT_EXCHANGE) continue;
        waiting |= 1u << lane;
        mask = fiber->mask;
        if (line >= 0 && fiber->line != line) machine.fault = "the lanes of a warp are at different exchanges";
        line = fiber->line;
    }
    if (waiting == 0 || waiting != (mask & expected)) return false;
    machine.warps[warp].generation++;
    for (unsigned lane = 0; lane < 32 && warp * 32 + lane < threads; lane++) {
        if (waiting >> lane & 1) machine.fibers[warp * 32 + lane]->status = READY;
    }
    return true;
}

// Lets the block go on when all its threads are at one barrier.
static bool release_block(unsigned threads) {
    int line = -1;
    for (unsigned i = 0; i < threads; i++) {
        Fiber* fiber = machine.fibers[i];
        if (fiber->status != AT_BARRIER) return false;
        if (line >= 0 && fiber->line != line) machine.fault = "the threads of a block are at different barriers";
        line = fiber->line;
    }
    for (unsigned i = 0; i < threads; i++) machine.fibers[i]->status = READY;
    return true;
}

static void run_block(unsigned threads) {
    std::vector<unsigned> order;
    for (unsigned i = 0; i < threads; i++) {
        order.push_back(i);
        machine.fibers[i]->status = READY;
    }
    for (Warp& warp : machine.warps) warp.generation = 0;
    std::vector<char> begun(threads, 0);
    unsigned done = 0;
    while (done < threads && !machine.fault) {
        bool moved = false;
        shuffle(order);
        for (unsigned i : order) {
            Fiber* fiber = machine.fibers[i];
            if (fiber->status != READY) continue;
            resume(fiber, !begun[i]);
            begun[i] = 1;
            moved = true;
            done += fiber->status == DONE;
        }
        for (unsigned warp = 0; warp * 32 < threads; warp++) moved |= release_warp(warp, threads);
        moved |= release_block(threads);
        if (!moved && done < threads) machine.fault = "some threads wait for others that never come";
    }
}

static void prepare(unsigned threads) {
    while (machine.fibers.size() < threads) {
        Fiber* fiber = new Fiber();
        fiber->stack.resize(STACK_BYTES);
        machine.fibers.push_back(fiber);
    }
    machine.warps.resize((threads + 31) / 32);
    for (unsigned i = 0; i < threads; i++) {
        machine.fibers[i]->thread = dim3{i, 0, 0};
        machine.fibers[i]->warp = &machine.warps[i / 32];
    }
}

// Runs a kernel to its end. Yields null, or what a device would have hung on.
extern "C" const char* airlock_emulate(
    Kernel kernel, u32 blocks, u32 lanes, u32 threads, const Job* job, u32 step, u64 order) {
    machine.kernel = kernel;
    machine.job = job;
    machine.step = step;
    machine.order = order;
    machine.fault = nullptr;
    prepare(threads);
    emulated.grid = dim3{blocks, lanes, 1};
    emulated.size = dim3{threads, 1, 1};
    std::vector<unsigned> sequence;
    for (unsigned i = 0; i < blocks * lanes; i++) sequence.push_back(i);
    shuffle(sequence);
    for (unsigned at : sequence) {
        emulated.block = dim3{at % blocks, at / blocks, 0};
        run_block(threads);
        if (machine.fault) return machine.fault;
    }
    return nullptr;
}

// The sizes that Rust believes too.
extern "C" void airlock_layout(u32* out) {
    const u32 sizes[] = {
        sizeof(Settings), sizeof(State), sizeof(Node), sizeof(Item), sizeof(Candidate), sizeof(Job), sizeof(Sum), sizeof(Gradient), sizeof(Head), sizeof(ForestRow), sizeof(ForestNode), sizeof(ForestState), sizeof(Forest)};
    std::memcpy(out, sizes, sizeof(sizes));
}
