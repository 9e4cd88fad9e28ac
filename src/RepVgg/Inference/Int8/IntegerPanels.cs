using System.Collections.Immutable;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Kernels;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Int8;

/// <summary>A panel of integer filters: those of one to three vectors of output channels, which read the same input channels.</summary>
/// <param name="FirstBlock">First vector of output channels.</param>
/// <param name="Vectors">Number of vectors.</param>
/// <param name="FirstElement">First element of a pixel that the panel reads.</param>
/// <param name="Units">Number of lanes of inputs (groups of four bytes or two words) that the panel reads from a pixel.</param>
/// <param name="Offset">Offset of the panel's weights from the first panel's, in floats.</param>
internal readonly record struct IntegerPanel(int FirstBlock, int Vectors, int FirstElement, int Units, long Offset);

/// <summary>
/// Packs the filters of an integer convolution or linear layer into panels and computes the first values of the sums and the factors of the results. Elements above
/// the last channel are zero.
/// </summary>
/// <remarks>
/// The kernels multiply inputs without subtracting the zero point: bias - zero point * sum of the weights is the first value of a sum instead. The
/// addition can exceed 32 bits, as sums of the kernel can; the result is right modulo 2^32, and that is exact because the sum itself has at most 32 bits.
/// </remarks>
/// <typeparam name="TVector">The vector type; lanes are output channels.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal sealed unsafe class IntegerPanels<TVector, TLanes>
    where TVector : struct
    where TLanes : struct, IIntegerLanes<TVector>
{
    private readonly IntegerPanel[] _panels;
    private readonly byte* _weights;
    private readonly int* _initial;
    private readonly float* _multipliers;
    private readonly int _outputs;
    private readonly int _groups;
    private readonly int _groupInputs;
    private readonly int _taps;
    private readonly bool _isWinograd;

    /// <param name="weights">Weights and biases.</param>
    /// <param name="taps">Taps of a filter: 9, or 1 for a linear layer.</param>
    /// <param name="groups">Number of groups.</param>
    /// <param name="inputs">Number of input channels.</param>
    /// <param name="pixelElements">Elements of a pixel of the input.</param>
    /// <param name="input">How the input is stored.</param>
    /// <param name="output">How the result is stored; null if it is a float.</param>
    /// <param name="arena">Allocates the memory of the weights and packs them later.</param>
    /// <param name="isWinograd">
    /// False for the order [tap][unit][vector][lane][element of the unit], in which the kernel reads the weights, with elements of the size of the map's; true for
    /// [unit][tap][vector][lane][element of the unit] with elements of one byte, which a Winograd convolution transforms.
    /// </param>
    public IntegerPanels(
        QuantizedWeights weights, int taps, int groups, int inputs, int pixelElements, QuantizationParameters input, QuantizationParameters? output, WeightArena arena, bool isWinograd = false)
    {
        (_taps, _groups, _groupInputs, _outputs, _isWinograd) = (taps, groups, inputs / groups, weights.Biases.Length, isWinograd);
        _panels = CreatePanels(inputs, pixelElements, out long floats);
        Floats = floats;
        _weights = (byte*)arena.Allocate(floats);
        int lanes = (_outputs + TLanes.Width - 1) / TLanes.Width * TLanes.Width;
        _initial = (int*)arena.Allocate(lanes);
        _multipliers = arena.Allocate(lanes);
        arena.Packers.Add((ref float[] _) =>
        {
            for (int o = 0; o < _outputs; o++)
            {
                _initial[o] = weights.Biases[o];
                _multipliers[o] = input.Scale * weights.Scales[o];
                if (output is { } stored)
                    _multipliers[o] /= stored.Scale;
            }
            foreach (ref readonly var panel in _panels.AsSpan())
                Pack(weights.Weights, panel, TLanes.InputOffset - input.ZeroPoint);
        });
    }

    /// <summary>Number of panels.</summary>
    public int Count => _panels.Length;

    /// <summary>Size of the weights of all panels in floats.</summary>
    public long Floats { get; }

    /// <summary>Elements of a lane of inputs.</summary>
    public static int UnitElements => sizeof(float) / TLanes.ElementBytes;

    public ref readonly IntegerPanel this[int panel] => ref _panels[panel];

    /// <summary>Address of a panel's weights.</summary>
    public float* Weights(in IntegerPanel panel) => (float*)_weights + panel.Offset;

    /// <summary>Floats of a panel's weights.</summary>
    public long FloatsOf(in IntegerPanel panel) => (long)_taps * panel.Units * panel.Vectors * TLanes.Width * WeightBytes * UnitElements / sizeof(float);

    private int WeightBytes => _isWinograd ? 1 : TLanes.ElementBytes;

    /// <summary>Address of the first values of a panel's sums, [vector][lane].</summary>
    public float* Initial(in IntegerPanel panel) => (float*)_initial + panel.FirstBlock * TLanes.Width;

    /// <summary>Address of a panel's factors from sums to results, [vector][lane].</summary>
    public float* Multipliers(in IntegerPanel panel) => _multipliers + panel.FirstBlock * TLanes.Width;

    private IntegerPanel[] CreatePanels(int inputs, int pixelElements, out long floats)
    {
        int blocks = (_outputs + TLanes.Width - 1) / TLanes.Width, groupOutputs = _outputs / _groups;
        bool isAligned = _groups == 1 || groupOutputs % TLanes.Width == 0;
        int blocksPerGroup = isAligned ? blocks / _groups : 1;
        var panels = new List<IntegerPanel>();
        floats = 0;
        for (int first = 0, vectors; first < blocks; first += vectors)
        {
            int remaining = blocksPerGroup - first % blocksPerGroup;
            vectors = remaining <= MicroKernels.MaximumVectors ? remaining : remaining % MicroKernels.MaximumVectors == 0 ? MicroKernels.MaximumVectors : remaining == 4 ? 2 : MicroKernels.MaximumVectors;
            int lastOutput = Math.Min((first + vectors) * TLanes.Width, _outputs) - 1;
            int firstInput = first * TLanes.Width / groupOutputs * _groupInputs / UnitElements * UnitElements;
            int endInput = (lastOutput / groupOutputs + 1) * _groupInputs;
            // All channels of a convolution without groups: the taps of a row follow each other if the unused elements are multiplied, too.
            int units = _groups == 1 ? pixelElements / UnitElements : (endInput - firstInput + UnitElements - 1) / UnitElements;
            if (_groups == 1 && pixelElements - inputs >= UnitElements)
                units = (inputs + UnitElements - 1) / UnitElements;
            var panel = new IntegerPanel(first, vectors, firstInput, units, floats);
            panels.Add(panel);
            floats += FloatsOf(panel);
        }
        return [.. panels];
    }

    private void Pack(ImmutableArray<sbyte> weights, in IntegerPanel panel, int offset)
    {
        int groupOutputs = _outputs / _groups, lanes = panel.Vectors * TLanes.Width, first = panel.FirstBlock * TLanes.Width;
        for (int o = first; o < Math.Min(first + lanes, _outputs); o++)
        {
            int channel = o / groupOutputs * _groupInputs - panel.FirstElement, sum = 0;
            for (int i = 0; i < _groupInputs; i++)
            {
                var (unit, element) = Math.DivRem(channel + i, UnitElements);
                for (int tap = 0; tap < _taps; tap++)
                {
                    sbyte weight = weights[(o * _groupInputs + i) * _taps + tap];
                    sbyte* panelWeights = (sbyte*)Weights(panel);
                    long at = ((_isWinograd ? (long)unit * _taps + tap : (long)tap * panel.Units + unit) * lanes + (o - first)) * UnitElements + element;
                    sum += weight;
                    if (WeightBytes == 1)
                        panelWeights[at] = weight;
                    else
                        ((short*)panelWeights)[at] = weight;
                }
            }
            unchecked
            {
                _initial[o] += offset * sum;
            }
        }
    }
}
