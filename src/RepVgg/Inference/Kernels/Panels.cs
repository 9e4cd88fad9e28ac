using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.Arm;
using RepVgg.Simd;

namespace RepVgg.Inference.Kernels;

/// <summary>Cuts any number of rows into groups that fit the registers, and runs the kernel for each.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Its arithmetic.</typeparam>
internal static unsafe class Panels<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    // AVX-512 and NEON have 32 vector registers, AVX2 and SSE 16: sums, a panel's vectors and one broadcast must fit.
    private static int MaximumSums => TLanes.Width == 16 || AdvSimd.IsSupported ? 24 : 12;

    /// <summary>Multiplies <paramref name="count"/> rows, starting with the one that the arguments point at.</summary>
    /// <param name="arguments">The first row; changed on return.</param>
    /// <param name="vectors">Vectors of output channels, 1 to 3.</param>
    /// <param name="count">Rows.</param>
    /// <param name="ahead">Memory that will be needed later, brought to the second-level cache meanwhile.</param>
    /// <param name="aheadFloats">How much of it.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(PanelArguments* arguments, int vectors, int count, float* ahead = null, nint aheadFloats = 0)
    {
        if (count == 0)
            return;
        int most = Math.Min(MaximumSums / vectors, 12), groups = (count + most - 1) / most;
        arguments->Ahead = arguments->AheadTo = ahead;
        arguments->AheadStep = aheadFloats == 0 ? 0 : aheadFloats / (groups * arguments->SegmentCount) + 1;
        int rows = count / groups, larger = count - rows * groups;
        if (larger > 0)
            RunGroups(arguments, vectors, rows + 1, larger);
        RunGroups(arguments, vectors, rows, groups - larger);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void RunGroups(PanelArguments* arguments, int vectors, int rows, int groups)
    {
        switch (vectors)
        {
            case 1:
                RunGroups<One>(arguments, rows, groups);
                break;
            case 2:
                RunGroups<Two>(arguments, rows, groups);
                break;
            default:
                RunGroups<Three>(arguments, rows, groups);
                break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void RunGroups<TVectors>(PanelArguments* arguments, int rows, int groups)
        where TVectors : unmanaged, ICount
    {
        switch (rows)
        {
            case 1:
                PanelKernel<TVector, TLanes, TVectors, One>.Run(arguments, groups);
                break;
            case 2:
                PanelKernel<TVector, TLanes, TVectors, Two>.Run(arguments, groups);
                break;
            case 3:
                PanelKernel<TVector, TLanes, TVectors, Three>.Run(arguments, groups);
                break;
            case 4:
                PanelKernel<TVector, TLanes, TVectors, Four>.Run(arguments, groups);
                break;
            case 5:
                PanelKernel<TVector, TLanes, TVectors, Five>.Run(arguments, groups);
                break;
            case 6:
                PanelKernel<TVector, TLanes, TVectors, Six>.Run(arguments, groups);
                break;
            case 7:
                PanelKernel<TVector, TLanes, TVectors, Seven>.Run(arguments, groups);
                break;
            case 8:
                PanelKernel<TVector, TLanes, TVectors, Eight>.Run(arguments, groups);
                break;
            case 9:
                PanelKernel<TVector, TLanes, TVectors, Nine>.Run(arguments, groups);
                break;
            case 10:
                PanelKernel<TVector, TLanes, TVectors, Ten>.Run(arguments, groups);
                break;
            case 11:
                PanelKernel<TVector, TLanes, TVectors, Eleven>.Run(arguments, groups);
                break;
            default:
                PanelKernel<TVector, TLanes, TVectors, Twelve>.Run(arguments, groups);
                break;
        }
    }
}

/// <summary>What holds for panels of every vector type.</summary>
internal static class Panels
{
    /// <summary>Vectors of output channels that one panel has at most.</summary>
    public const int MaximumVectors = 3;
}
