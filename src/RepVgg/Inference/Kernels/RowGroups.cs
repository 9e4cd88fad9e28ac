using System.Runtime.CompilerServices;

namespace RepVgg.Inference.Kernels;

/// <summary>Groups of rows and the kernels that multiply them; see <see cref="Panels{TVector, TLanes}.Cut"/>.</summary>
/// <param name="larger">Groups that have one row more than the others; they come first.</param>
/// <param name="largerKernel">Their kernel.</param>
/// <param name="smaller">The other groups.</param>
/// <param name="smallerKernel">Their kernel.</param>
internal readonly unsafe struct RowGroups(
    int larger, delegate*<PanelArguments*, int, void> largerKernel, int smaller, delegate*<PanelArguments*, int, void> smallerKernel)
{
    /// <summary>Has the next run bring memory that will be needed later.</summary>
    /// <param name="arguments">The run's; its weights and its depth are set.</param>
    /// <param name="ahead">Where the memory begins.</param>
    /// <param name="floats">How many floats; 0 brings none.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void LookAhead(PanelArguments* arguments, float* ahead, nint floats)
    {
        int steps = (larger + smaller) * arguments->SegmentCount * arguments->Depth;
        // Even then a step brings something: what is there.
        bool none = floats == 0 || steps == 0;
        arguments->Ahead = none ? arguments->Panel : ahead;
        arguments->AheadStep = none ? 0 : ((int)floats + steps - 1) / steps;
    }

    /// <summary>Multiplies all rows, starting with the one that the arguments point at.</summary>
    /// <param name="arguments">The first row; changed on return.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Run(PanelArguments* arguments)
    {
        if (larger > 0)
            largerKernel(arguments, larger);
        if (smaller > 0)
            smallerKernel(arguments, smaller);
    }
}
