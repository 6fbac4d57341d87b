// Counts allocations in this process while it is told to: the addresses of malloc and its kin that
// the loaded objects (the plugin, the Swift runtime, the C library itself) have looked up are replaced
// by functions that count and pass on. The program's own calls are left alone. For a child that ends
// soon after: nothing is put back.

import CLinux
import Glibc

enum AllocationWatch {
    /// What the counting functions see; plain memory, since they must not come to allocate.
    @unsafe private struct Cell {
        var isCounting = false
        var count: UInt64 = 0
    }

    nonisolated(unsafe) private static let cell: UnsafeMutablePointer<Cell> = {
        let cell = UnsafeMutablePointer<Cell>.allocate(capacity: 1)
        unsafe cell.initialize(to: Cell())
        return unsafe cell
    }()

    private static func note() {
        if unsafe cell.pointee.isCounting { unsafe cell.pointee.count += 1 }
    }

    /// Puts the counting functions in place. False if that does not work here: a library's own
    /// allocation is not seen, as under a sanitizer.
    static func install() -> Bool {
        unsafe cell.pointee = Cell()
        let page = UInt(sysconf(Int32(_SC_PAGESIZE)))
        for object in LoadedObject.all() {
            unsafe object.forEachImport { name, slot in
                guard let ours = unsafe replacement(name) else { return }
                // Made read-only by the linker once it was filled in (RELRO).
                let start = UInt(bitPattern: slot) & ~(page - 1)
                let place = unsafe UnsafeMutableRawPointer(bitPattern: start)
                guard unsafe mprotect(place, Int(page), PROT_READ | PROT_WRITE) == 0 else {
                    return
                }
                unsafe slot.pointee = ours
            }
        }
        // strdup allocates within the C library, a caller like any other.
        // Called by its address: the optimiser knows what strdup and free do, and leaves both out.
        typealias Copy = @convention(c) (UnsafePointer<CChar>) -> UnsafeMutableRawPointer?
        guard let symbol = unsafe dlsym(dlopen(nil, RTLD_NOW), "strdup") else { return false }
        let copy = unsafe unsafeBitCast(symbol, to: Copy.self)
        let text: StaticString = "seen"
        let start = unsafe UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
        return count { unsafe free(copy(start)) } > 0
    }

    /// Allocations during `body`, on any thread.
    static func count(_ body: () -> Void) -> UInt64 {
        unsafe cell.pointee.count = 0
        unsafe cell.pointee.isCounting = true
        body()
        unsafe cell.pointee.isCounting = false
        return unsafe cell.pointee.count
    }

    private static func replacement(_ name: UnsafePointer<CChar>) -> UInt? {
        for (known, ours) in replacements {
            if unsafe strcmp(name, known) == 0 { return ours }
        }
        return nil
    }

    private static let replacements: [(String, UInt)] = {
        let malloc: @convention(c) (Int) -> UnsafeMutableRawPointer? = { size in
            note()
            return unsafe Glibc.malloc(size)
        }
        let calloc: @convention(c) (Int, Int) -> UnsafeMutableRawPointer? = { count, size in
            note()
            return unsafe Glibc.calloc(count, size)
        }
        let realloc: @convention(c) (UnsafeMutableRawPointer?, Int) -> UnsafeMutableRawPointer? = {
            note()
            return unsafe Glibc.realloc($0, $1)
        }
        let aligned: @convention(c) (Int, Int) -> UnsafeMutableRawPointer? = { alignment, size in
            note()
            return unsafe Glibc.aligned_alloc(alignment, size)
        }
        let posix:
            @convention(c) (UnsafeMutablePointer<UnsafeMutableRawPointer?>, Int, Int) -> Int32 = {
                note()
                return unsafe Glibc.posix_memalign($0, $1, $2)
            }
        return unsafe [
            ("malloc", unsafeBitCast(malloc, to: UInt.self)),
            ("calloc", unsafeBitCast(calloc, to: UInt.self)),
            ("realloc", unsafeBitCast(realloc, to: UInt.self)),
            ("aligned_alloc", unsafeBitCast(aligned, to: UInt.self)),
            ("memalign", unsafeBitCast(aligned, to: UInt.self)),
            ("posix_memalign", unsafeBitCast(posix, to: UInt.self)),
        ]
    }()
}
