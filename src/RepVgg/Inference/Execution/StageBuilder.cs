namespace RepVgg.Inference.Execution;

/// <summary>A stage in the making.</summary>
internal sealed class StageBuilder
{
    private readonly List<long> _bufferFloats = [];

    /// <summary>Steps so far.</summary>
    public List<Step> Steps { get; } = [];

    /// <summary>Sees to it that a buffer has room for an image.</summary>
    public void Reserve(BufferId buffer, long floats)
    {
        while (_bufferFloats.Count <= (int)buffer)
            _bufferFloats.Add(0);
        _bufferFloats[(int)buffer] = Math.Max(_bufferFloats[(int)buffer], floats);
    }

    /// <summary>Gives up a buffer that the stage has from elsewhere.</summary>
    public void Release(BufferId buffer)
    {
        if ((int)buffer < _bufferFloats.Count)
            _bufferFloats[(int)buffer] = 0;
    }

    /// <summary>The stage.</summary>
    /// <param name="buffers">Number of buffers of the network.</param>
    public Stage Build(int buffers)
    {
        Reserve((BufferId)(buffers - 1), 0);
        return new Stage([.. Steps], [.. _bufferFloats]);
    }
}
