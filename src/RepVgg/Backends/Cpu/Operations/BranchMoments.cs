using RepVgg.Backends.Cpu.Execution;
using RepVgg.Backends.Cpu.Kernels;

namespace RepVgg.Backends.Cpu.Operations;

/// <summary>Means and sums of squared deviations per channel, for several branches and units of images.</summary>
internal sealed unsafe class BranchMoments : IDisposable
{
    private readonly Sums[] _sums;
    private readonly int _channels;

    public BranchMoments(BufferPool pool, int units, int branches, int channels)
    {
        _channels = channels;
        _sums = [.. Enumerable.Range(0, branches).Select(_ => new Sums(pool, units, 2 * channels))];
    }

    /// <summary>The moments of all units of one branch.</summary>
    public Sums this[int branch] => _sums[branch];

    /// <summary>Computes the moments of one unit of one branch.</summary>
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
