using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>Base of cursors that make their own rows: position, end, and disposal at the end.</summary>
internal abstract class CursorBase : DataViewRowCursor
{
    internal const string NoCurrentRow =
        "Values cannot be fetched at this time. This method was called either before the first call to MoveNext, "
        + "or at any point after that method returned false.";

    private long _position = -1;
    private bool _disposed;

    public sealed override long Position => _position;

    public override long Batch => 0;

    public sealed override bool MoveNext()
    {
        if (_disposed)
        {
            return false;
        }

        if (MoveNextCore())
        {
            _position++;
            return true;
        }

        Dispose();
        return false;
    }

    public override ValueGetter<DataViewRowId> GetIdGetter() => (ref DataViewRowId id) =>
    {
        ThrowIfNoRow();
        id = new DataViewRowId((ulong)_position, 0);
    };

    internal void ThrowIfNoRow()
    {
        if (_position < 0)
        {
            throw new InvalidOperationException(NoCurrentRow);
        }
    }

    protected abstract bool MoveNextCore();

    /// <summary>Lets go of what the cursor holds; called once.</summary>
    protected virtual void Release()
    {
    }

    protected sealed override void Dispose(bool disposing)
    {
        if (disposing && !_disposed)
        {
            _disposed = true;
            _position = -1;
            Release();
        }
    }
}
