using System.Numerics;
using System.Text;

namespace RepVgg.Weights.PyTorch;

/// <summary>Reads a pickle without executing code. The result contains data, and tensors as references to storages.</summary>
/// <remarks>
/// Source: Python's pickletools, protocols 2 to 5. A global that is not in <see cref="PickleGlobals"/> causes an exception that names it.
/// The number of objects is limited, which limits the memory. The time is proportional to the number of bytes.
/// </remarks>
internal sealed class PickleMachine
{
    private const int MaximumObjects = 4_000_000;
    private const int MaximumText = 1 << 20;

    private readonly PickleInput _input;
    private readonly List<object?> _stack = [];
    private readonly List<int> _marks = [];
    private readonly Dictionary<uint, object?> _memo = [];
    private int _objects;

    /// <summary>The storages that tensors refer to, by key. They are whole storages, not views.</summary>
    public Dictionary<string, PickleStorage> Storages { get; } = new(StringComparer.Ordinal);

    /// <param name="input">The bytes of the pickle.</param>
    public PickleMachine(PickleInput input) => _input = input;

    /// <summary>Reads one pickle up to its STOP instruction, and returns the unpickled object.</summary>
    public object? Load()
    {
        while (true)
        {
            byte code = _input.Byte();
            if (code == (byte)'.')
                return Pop();
            Execute(code);
        }
    }

    private void Execute(byte code)
    {
        switch (code)
        {
            case 0x80: _input.Byte(); break; // PROTO
            case 0x95: _input.UInt64(); break; // FRAME
            case (byte)'N': Push(null); break;
            case 0x88: Push(true); break;
            case 0x89: Push(false); break;
            case (byte)'K': Push((long)_input.Byte()); break;
            case (byte)'M': Push((long)_input.UInt16()); break;
            case (byte)'J': Push((long)(int)_input.UInt32()); break;
            case 0x8a: Push(Integer(_input.Byte())); break; // LONG1
            case 0x8b: Push(Integer(_input.UInt32())); break; // LONG4
            case (byte)'G': Push(BitConverter.Int64BitsToDouble((long)System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(_input.UInt64()))); break;
            case (byte)'X': Push(Text(_input.UInt32())); break; // BINUNICODE
            case 0x8c: Push(Text(_input.Byte())); break; // SHORT_BINUNICODE
            case 0x8d: Push(Text(_input.UInt64())); break; // BINUNICODE8
            case (byte)'U': Push(Text(_input.Byte())); break; // SHORT_BINSTRING
            case (byte)'T': Push(Text(_input.UInt32())); break; // BINSTRING
            case (byte)'C': Push(Bytes(_input.Byte())); break; // SHORT_BINBYTES
            case (byte)'B': Push(Bytes(_input.UInt32())); break; // BINBYTES
            case 0x8e: Push(Bytes(_input.UInt64())); break; // BINBYTES8
            case (byte)'}': Push(new PickleDictionary()); break;
            case (byte)']' or 0x8f: Push(new List<object?>()); break; // EMPTY_LIST, EMPTY_SET
            case (byte)')': Push(Array.Empty<object?>()); break;
            case (byte)'(': Mark(); break;
            case (byte)'t': Push(PopMark()); break;
            case 0x85: Push(PopMany(1)); break;
            case 0x86: Push(PopMany(2)); break;
            case 0x87: Push(PopMany(3)); break;
            case (byte)'0': Pop(); break;
            case (byte)'1': PopMark(); break;
            case (byte)'2': Push(Peek()); break; // DUP
            case (byte)'q': _memo[_input.Byte()] = Peek(); break;
            case (byte)'r': Memoize(_input.UInt32()); break;
            case 0x94: Memoize((uint)_memo.Count); break; // MEMOIZE
            case (byte)'h': Push(Recall(_input.Byte())); break;
            case (byte)'j': Push(Recall(_input.UInt32())); break;
            case (byte)'a': { object? item = Pop(); Peek<List<object?>>("APPEND").Add(item); break; }
            case (byte)'e': { var items = PopMark(); Peek<List<object?>>("APPENDS").AddRange(items); break; }
            case 0x90: { var items = PopMark(); Peek<List<object?>>("ADDITEMS").AddRange(items); break; }
            case (byte)'s': { var items = PopMany(2); SetItems(Peek<PickleDictionary>("SETITEM"), items); break; }
            case (byte)'u': { var items = PopMark(); SetItems(Peek<PickleDictionary>("SETITEMS"), items); break; }
            case (byte)'c': Push(Global(_input.Line(), _input.Line())); break;
            case 0x93: { var names = PopMany(2); Push(Global(Expect<string>(names[0], "STACK_GLOBAL"), Expect<string>(names[1], "STACK_GLOBAL"))); break; }
            case (byte)'R' or 0x81: { var call = PopMany(2); Push(Reduce(Expect<PickleGlobal>(call[0], "REDUCE"), Expect<object?[]>(call[1], "REDUCE"))); break; } // NEWOBJ too
            case (byte)'b': Pop(); Peek<PickleDictionary>("BUILD"); break; // attributes of an OrderedDict (_metadata) are not needed
            case (byte)'Q': Push(Storage(Expect<object?[]>(Pop(), "BINPERSID"))); break;
            default: throw _input.Bad($"its pickle holds instruction 0x{code:x2}, which is not supported");
        }
    }

    private object? Reduce(PickleGlobal global, object?[] arguments)
    {
        switch (global.Name)
        {
            case PickleGlobals.OrderedDictionary:
                var dictionary = new PickleDictionary();
                if (arguments is [List<object?> pairs])
                {
                    foreach (object? pair in pairs)
                        SetItems(dictionary, Expect<object?[]>(pair, "OrderedDict"));
                }
                else if (arguments.Length != 0)
                {
                    throw _input.Bad("its pickle makes an OrderedDict of something other than pairs");
                }
                return dictionary;
            case PickleGlobals.Size when arguments is [object?[] dimensions]:
                return dimensions;
            case PickleGlobals.RebuildParameter when arguments is [PickleTensor tensor, ..]:
                return tensor;
            case PickleGlobals.RebuildTensor or PickleGlobals.RebuildTensorV2 when arguments is [PickleStorage storage, long offset, object?[] shape, object?[] strides, ..]:
                return Tensor(storage, offset, shape, strides);
            default:
                throw _input.Bad($"its pickle calls '{global.Name}' with arguments that it does not take");
        }
    }

    private PickleTensor Tensor(PickleStorage storage, long offset, object?[] shape, object?[] strides)
    {
        const int MaximumRank = 16;
        if (shape.Length != strides.Length || shape.Length > MaximumRank || offset < 0)
            throw _input.Bad("a tensor's shape, strides and offset are inconsistent");
        var dimensions = new int[shape.Length];
        var steps = new long[shape.Length];
        Int128 count = 1, last = offset;
        for (int i = 0; i < shape.Length; i++)
        {
            if (shape[i] is not long dimension || dimension < 0 || dimension > Array.MaxLength || strides[i] is not long step || step < 0)
                throw _input.Bad("a tensor's shape or strides are not valid sizes");
            dimensions[i] = (int)dimension;
            steps[i] = step;
            count = count > Array.MaxLength ? count : count * dimension;
            last += dimension == 0 ? 0 : (Int128)(dimension - 1) * step;
        }
        if (count > 0 && (last >= storage.Count || count > storage.Count))
            throw _input.Bad($"a tensor of shape [{string.Join(", ", dimensions)}] reaches beyond its storage of {storage.Count} values");
        return new PickleTensor(storage, offset, dimensions, steps);
    }

    private PickleStorage Storage(object?[] id)
    {
        // ('storage', class, key, location, count) and, in legacy files, (view key, offset, count) or None.
        if (id is not [string kind, PickleGlobal type, string key, _, long count, ..] || kind != "storage"
            || PickleGlobals.StorageType(type.Name) is not { } scalar || count < 0)
        {
            throw _input.Bad("its pickle refers to a persistent object that is not a storage");
        }
        var storage = new PickleStorage(scalar, key, count);
        if (Storages.TryGetValue(key, out var other) && other != storage)
            throw _input.Bad($"its pickle describes storage '{key}' in two ways");
        Storages[key] = storage;
        if (id is not [_, _, _, _, _, object?[] view, ..])
            return storage;
        if (view is not [_, long offset, long viewCount] || offset < 0 || viewCount < 0 || offset > count - viewCount)
            throw _input.Bad("a view of a storage lies outside it");
        return new PickleStorage(scalar, key, viewCount, offset);
    }

    private PickleGlobal Global(string module, string name)
    {
        string full = $"{module}.{name}";
        if (!PickleGlobals.IsAllowed(full))
        {
            throw _input.Bad(
                $"it refers to '{full}', which is not needed for weights and is not allowed. "
                + "Save only the weights, torch.save(model.state_dict(), path), and try again");
        }
        return new PickleGlobal(full);
    }

    private void SetItems(PickleDictionary dictionary, object?[] items)
    {
        if (items.Length % 2 != 0)
            throw _input.Bad("its pickle sets a key without a value");
        for (int i = 0; i < items.Length; i += 2)
        {
            if (items[i] is string key)
                dictionary.Entries[key] = items[i + 1];
        }
    }

    private string Text(ulong length) => Encoding.UTF8.GetString(_input.Bytes(length, MaximumText));

    private byte[] Bytes(ulong length) => _input.Bytes(length, MaximumText);

    private object Integer(ulong length)
    {
        var value = new BigInteger(_input.Bytes(length, 256));
        return value >= long.MinValue && value <= long.MaxValue ? (long)value : value;
    }

    private void Push(object? value)
    {
        if (++_objects > MaximumObjects)
            throw _input.Bad($"its pickle holds more than {MaximumObjects} objects");
        _stack.Add(value);
    }

    private void Mark()
    {
        if (++_objects > MaximumObjects)
            throw _input.Bad($"its pickle holds more than {MaximumObjects} objects");
        _marks.Add(_stack.Count);
    }

    private int Floor => _marks.Count > 0 ? _marks[^1] : 0;

    private object? Peek() => _stack.Count > Floor ? _stack[^1] : throw _input.Bad("its pickle takes from an empty stack");

    private T Peek<T>(string instruction) => Expect<T>(Peek(), instruction);

    private object? Pop()
    {
        object? value = Peek();
        _stack.RemoveAt(_stack.Count - 1);
        return value;
    }

    private object?[] PopMany(int count)
    {
        if (_stack.Count - Floor < count)
            throw _input.Bad("its pickle takes from an empty stack");
        object?[] values = [.. _stack[^count..]];
        _stack.RemoveRange(_stack.Count - count, count);
        return values;
    }

    private object?[] PopMark()
    {
        if (_marks.Count == 0)
            throw _input.Bad("its pickle takes from an empty stack");
        var values = PopMany(_stack.Count - Floor);
        _marks.RemoveAt(_marks.Count - 1);
        return values;
    }

    private void Memoize(uint index)
    {
        object? value = Peek();
        if (_memo.Count >= MaximumObjects)
            throw _input.Bad($"its pickle memoizes more than {MaximumObjects} objects");
        _memo[index] = value;
    }

    private object? Recall(uint index) => _memo.TryGetValue(index, out object? value) ? value : throw _input.Bad("its pickle refers to an object that it did not memoize");

    private T Expect<T>(object? value, string instruction) =>
        value is T wanted ? wanted : throw _input.Bad($"its pickle uses {instruction} on an object of the wrong type");
}
