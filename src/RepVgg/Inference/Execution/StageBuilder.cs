namespace RepVgg.Inference.Execution;

/// <summary>Collects the steps and the buffer sizes of a <see cref="Stage"/>.</summary>
internal sealed class StageBuilder
{
    private readonly List<long> _bufferFloats = [];

    /// <summary>The steps added so far, in order of execution.</summary>
    public List<Step> Steps { get; } = [];

    /// <summary>Sets the size of a buffer to at least the given number of floats per image.</summary>
    public void Reserve(BufferId buffer, long floats)
    {
        while (_bufferFloats.Count <= (int)buffer)
            _bufferFloats.Add(0);
        _bufferFloats[(int)buffer] = Math.Max(_bufferFloats[(int)buffer], floats);
    }

    /// <summary>Sets the size of a buffer to 0, because its memory is allocated by another stage.</summary>
    public void Release(BufferId buffer)
    {
        if ((int)buffer < _bufferFloats.Count)
            _bufferFloats[(int)buffer] = 0;
    }

    /// <summary>Builds the stage.</summary>
    /// <param name="buffers">Number of buffers of the network.</param>
    public Stage Build(int buffers)
    {
        Reserve((BufferId)(buffers - 1), 0);
        return new Stage([.. Steps], [.. _bufferFloats]);
    }
}
