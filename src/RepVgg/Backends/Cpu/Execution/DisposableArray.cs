using System.Collections;

namespace RepVgg.Backends.Cpu.Execution;

/// <summary>Objects that are disposed together.</summary>
internal sealed class DisposableArray<T>(IEnumerable<T> items) : IReadOnlyList<T>, IDisposable
    where T : IDisposable
{
    private readonly T[] _items = [.. items];

    public int Count => _items.Length;

    public T this[int index] => _items[index];

    public IEnumerator<T> GetEnumerator() => ((IEnumerable<T>)_items).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    public void Dispose()
    {
        foreach (var item in _items)
            item.Dispose();
    }
}
