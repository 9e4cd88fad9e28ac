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
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(PanelArguments* arguments, int vectors, int count)
    {
        int most = Math.Min(MaximumSums / vectors, 12);
        for (int groups = (count + most - 1) / most; groups > 0; groups--)
        {
            int rows = (count + groups - 1) / groups;
            RunGroup(arguments, vectors, rows);
            arguments->Rows += rows * arguments->RowPitch;
            arguments->Initial += rows * arguments->InitialPitch;
            arguments->Target += rows * arguments->TargetPitch;
            count -= rows;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void RunGroup(PanelArguments* arguments, int vectors, int rows)
    {
        switch (vectors)
        {
            case 1:
                RunGroup<One>(arguments, rows);
                break;
            case 2:
                RunGroup<Two>(arguments, rows);
                break;
            default:
                RunGroup<Three>(arguments, rows);
                break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void RunGroup<TVectors>(PanelArguments* arguments, int rows)
        where TVectors : unmanaged, ICount
    {
        switch (rows)
        {
            case 1:
                PanelKernel<TVector, TLanes, TVectors, One>.Run(arguments);
                break;
            case 2:
                PanelKernel<TVector, TLanes, TVectors, Two>.Run(arguments);
                break;
            case 3:
                PanelKernel<TVector, TLanes, TVectors, Three>.Run(arguments);
                break;
            case 4:
                PanelKernel<TVector, TLanes, TVectors, Four>.Run(arguments);
                break;
            case 5:
                PanelKernel<TVector, TLanes, TVectors, Five>.Run(arguments);
                break;
            case 6:
                PanelKernel<TVector, TLanes, TVectors, Six>.Run(arguments);
                break;
            case 7:
                PanelKernel<TVector, TLanes, TVectors, Seven>.Run(arguments);
                break;
            case 8:
                PanelKernel<TVector, TLanes, TVectors, Eight>.Run(arguments);
                break;
            case 9:
                PanelKernel<TVector, TLanes, TVectors, Nine>.Run(arguments);
                break;
            case 10:
                PanelKernel<TVector, TLanes, TVectors, Ten>.Run(arguments);
                break;
            case 11:
                PanelKernel<TVector, TLanes, TVectors, Eleven>.Run(arguments);
                break;
            default:
                PanelKernel<TVector, TLanes, TVectors, Twelve>.Run(arguments);
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
