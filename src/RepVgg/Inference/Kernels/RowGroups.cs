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
    /// <summary>Floats that every segment of a run has to bring, so that the run brings all of them.</summary>
    /// <param name="floats">How many floats.</param>
    /// <param name="segments">Segments of each group.</param>
    public nint AheadStep(nint floats, int segments)
    {
        int runs = (larger + smaller) * segments;
        return floats == 0 || runs == 0 ? 0 : floats / runs + 1;
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
