using RepVgg.Backends.Cpu.Kernels;
using RepVgg.Backends.Cpu.Memory;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>Means and squared deviations of several branches, unit by unit.</summary>
internal sealed unsafe class BranchMoments : IDisposable
{
    private readonly Sums[] _sums;
    private readonly int _channels;

    public BranchMoments(BufferPool pool, int units, int branches, int channels)
    {
        _channels = channels;
        _sums = [.. Enumerable.Range(0, branches).Select(_ => new Sums(pool, units, 2 * channels))];
    }

    /// <summary>All units of one branch.</summary>
    public Sums this[int branch] => _sums[branch];

    /// <summary>Measures one unit of one branch.</summary>
    public void Measure(int branch, int unit, float* rows, int count)
    {
        float* result = _sums[branch][unit];
        ChannelLoops.Moments(rows, count, _channels, result, result + _channels);
    }

    public void Dispose()
    {
        foreach (var sums in _sums)
            sums.Dispose();
    }
}
