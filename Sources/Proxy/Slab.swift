// Storage whose elements never move: a connection, once inserted, stays where it is until it is
// removed, and is named by an index and a generation. The free list lies in the slots themselves,
// so in the steady state nothing is allocated. Not a general container: it never shrinks.

/// Names an element of a slab for as long as it lives: a stale handle is noticed, not followed.
struct Handle: Equatable, Sendable {
    var index: UInt32
    var generation: UInt32

    init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }

    /// Both in one number, as epoll and timers carry it.
    init(packed: UInt64) {
        index = UInt32(truncatingIfNeeded: packed)
        generation = UInt32(truncatingIfNeeded: packed >> 32)
    }
    var packed: UInt64 { UInt64(generation) << 32 | UInt64(index) }

    static let none = Handle(index: .max, generation: .max)
}

/// A live element of a slab, at hand: looked up once an event, then used without looking again.
/// The slab's memory stays until the slab goes; whoever holds a `Ref` across a `remove` may read a
/// free slot, so it is kept for the length of one event only.
@safe
struct Ref<Element: ~Copyable>: Copyable {
    let pointer: UnsafeMutablePointer<Element>

    init(_ pointer: UnsafeMutablePointer<Element>) { unsafe self.pointer = pointer }

    /// The element itself, in place.
    var it: Element {
        unsafeAddress { unsafe UnsafePointer(pointer) }
        nonmutating unsafeMutableAddress { unsafe pointer }
    }
}

/// A slab of move-only elements, owned by one thread.
///
/// It lives in this module because it is generic: the compiler specialises it only for who can see its
/// body, and Swift 6.3 shows the body of a `package` function to no other module, inlinable or not.
/// From Base, a quarter of a small request's time went into looking up its metadata.
@safe
struct Slab<Element: ~Copyable>: ~Copyable {
    // Slots come in chunks of 2^shift, so that growing moves nothing.
    let shift: UInt32
    var chunks: [UnsafeMutablePointer<Element>]
    // Odd: live. Even: free. Counts up at both ends of a life.
    var generations: [UInt32]
    // The next free slot behind each free one.
    var nextFree: [UInt32]
    var firstFree: UInt32
    /// Live elements.
    private(set) var count: Int

    /// `chunk`: how many slots to add at a time, a power of two.
    init(chunk: Int = 256) {
        precondition(chunk > 0 && chunk & (chunk - 1) == 0, "a power of two")
        shift = UInt32(chunk.trailingZeroBitCount)
        unsafe chunks = []
        generations = []
        nextFree = []
        firstFree = .max
        count = 0
    }

    deinit {
        for index in 0..<UInt32(generations.count) where generations[Int(index)] & 1 == 1 {
            unsafe pointer(index).deinitialize(count: 1)
        }
        for i in 0..<(unsafe chunks.count) { unsafe chunks[i].deallocate() }
    }

    /// Slots, live or free: indices run below this.
    var capacity: Int { generations.count }

    @inline(__always)
    func pointer(_ index: UInt32) -> UnsafeMutablePointer<Element> {
        // In bounds: the array traps on a chunk that is not there.
        unsafe chunks[Int(index >> shift)] + Int(index & ((1 << shift) - 1))
    }

    /// The element at `index`, which must be live: checked in debug builds only, since every event
    /// has checked its handle already.
    subscript(index: UInt32) -> Element {
        unsafeAddress {
            assert(generations[Int(index)] & 1 == 1, "a free slot")
            return unsafe UnsafePointer(pointer(index))
        }
        nonmutating unsafeMutableAddress {
            assert(generations[Int(index)] & 1 == 1, "a free slot")
            return unsafe pointer(index)
        }
    }

    /// The same element as a reference, for code that touches it often or beside other storage of
    /// the slab's owner.
    @inline(__always)
    func at(_ index: UInt32) -> Ref<Element> {
        assert(generations[Int(index)] & 1 == 1, "a free slot")
        return unsafe Ref(pointer(index))
    }

    @inline(__always)
    func isLive(_ handle: Handle) -> Bool {
        handle.index < generations.count && handle.generation & 1 == 1
            && generations[Int(handle.index)] == handle.generation
    }

    /// Whether slot `index` (below `capacity`) holds an element: for walks over all of them.
    func isLive(index: UInt32) -> Bool { generations[Int(index)] & 1 == 1 }

    /// The handle of the live element at `index`.
    func handle(_ index: UInt32) -> Handle {
        Handle(index: index, generation: generations[Int(index)])
    }

    /// O(1); allocates only when every slot is taken.
    mutating func insert(_ element: consuming Element) -> Handle {
        if firstFree == .max { grow() }
        let index = firstFree
        firstFree = nextFree[Int(index)]
        generations[Int(index)] &+= 1
        unsafe pointer(index).initialize(to: element)
        count += 1
        return handle(index)
    }

    /// O(1). The slot's handles are stale from here on.
    mutating func remove(_ index: UInt32) -> Element {
        precondition(isLive(index: index), "removed twice")
        generations[Int(index)] &+= 1
        nextFree[Int(index)] = firstFree
        firstFree = index
        count -= 1
        return unsafe pointer(index).move()
    }

    mutating func grow() {
        let size = 1 << Int(shift)
        let first = UInt32(generations.count)
        unsafe chunks.append(.allocate(capacity: size))
        generations.append(contentsOf: repeatElement(0, count: size))
        nextFree.append(contentsOf: (0..<UInt32(size)).map { first + $0 + 1 })
        nextFree[nextFree.count - 1] = firstFree
        firstFree = first
    }
}
