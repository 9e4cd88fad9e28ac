using System.Runtime.CompilerServices;

namespace RepVgg.Inference.Kernels;

/// <summary>Groups of rows and the micro-kernels that multiply them; see <see cref="Panels{TVector, TLanes}.Cut"/>.</summary>
/// <param name="larger">Number of groups that have one row more than the others; they come first.</param>
/// <param name="largerKernel">Kernel of the larger groups.</param>
/// <param name="smaller">Number of the other groups.</param>
/// <param name="smallerKernel">Kernel of the smaller groups.</param>
internal readonly unsafe struct RowGroups(
    int larger, delegate*<PanelArguments*, int, void> largerKernel, int smaller, delegate*<PanelArguments*, int, void> smallerKernel)
{
    /// <summary>Makes the next call of <see cref="Run"/> prefetch a range of memory to the L2 cache, evenly over its loop iterations.</summary>
    /// <param name="arguments">Operands of that call; the panel, the segment count and the depth must be set.</param>
    /// <param name="ahead">Start of the range.</param>
    /// <param name="floats">Length of the range in floats; 0 for no prefetch.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void LookAhead(PanelArguments* arguments, float* ahead, nint floats)
    {
        int steps = (larger + smaller) * arguments->SegmentCount * arguments->Depth;
        // The kernels always execute a prefetch. If there is nothing to prefetch, it is the start of the panel, which is in
        // use anyway.
        bool none = floats == 0 || steps == 0;
        arguments->Ahead = none ? arguments->Panel : ahead;
        arguments->AheadStep = none ? 0 : ((int)floats + steps - 1) / steps;
    }

    /// <summary>Multiplies all rows.</summary>
    /// <param name="arguments">Operands of the first group; on return, they point behind the last row.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Run(PanelArguments* arguments)
    {
        if (larger > 0)
            largerKernel(arguments, larger);
        if (smaller > 0)
            smallerKernel(arguments, smaller);
    }
}
