using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>Scoring with a multiclass model, bound to a schema: adds PredictedLabel and Score.</summary>
internal sealed class MulticlassScoring : RowMapping
{
    private readonly IMulticlassModel _model;
    private readonly DataViewSchema.Column _feature;
    private readonly ClassNames _names;

    internal MulticlassScoring(IMulticlassModel model, DataViewSchema inputSchema, string featureColumn, ClassNames names)
        : base(inputSchema)
    {
        _model = model;
        _names = names;
        _feature = inputSchema.GetColumnOrNull(featureColumn)
            ?? throw new ArgumentException($"{featureColumn} column 'Feature' not found", "schema");
        CheckFeatureType(_feature.Type, new VectorDataViewType(NumberDataViewType.Single, model.FeatureCount));
    }

    internal override IEnumerable<int> GetDependencies(int output) => [_feature.Index];

    internal override Delegate[] CreateGetters(DataViewRow input, Func<int, bool> isActive, out Action dispose)
    {
        dispose = null;
        if (!isActive(0) && !isActive(1))
        {
            return [null, null];
        }

        ValueGetter<VBuffer<float>> getFeatures = input.GetGetter<VBuffer<float>>(_feature);
        VBuffer<float> features = default;
        float[] scores = new float[_model.ClassCount];
        long scoredPosition = -1;
        ValueGetter<uint> getLabel = (ref uint label) =>
        {
            Score();
            int best = -1;
            for (int i = 0; i < scores.Length; i++)
            {
                best = !float.IsNaN(scores[i]) && (best < 0 || scores[i] > scores[best]) ? i : best;
            }

            label = (uint)(best + 1);
        };
        ValueGetter<VBuffer<float>> getScores = (ref VBuffer<float> value) =>
        {
            Score();
            VBufferEditor<float> editor = VBufferEditor.Create(ref value, scores.Length);
            scores.CopyTo(editor.Values);
            value = editor.Commit();
        };
        return [isActive(0) ? getLabel : null, isActive(1) ? getScores : null];

        void Score()
        {
            if (scoredPosition != input.Position)
            {
                getFeatures(ref features);
                _model.Score(in features, scores);
                scoredPosition = input.Position;
            }
        }
    }

    protected override DataViewSchema.DetachedColumn[] GetOutputs() =>
        MulticlassScoreColumns.Describe(InputSchema, _model.ClassCount, _names);

    protected override Delegate CreateGetter(DataViewRow input, int output, out Action dispose) =>
        CreateGetters(input, index => index == output, out dispose)[output];

    private static void CheckFeatureType(DataViewType given, VectorDataViewType needed)
    {
        VectorDataViewType vector = given as VectorDataViewType;
        if (!needed.ItemType.Equals(vector?.ItemType ?? given))
        {
            throw new InvalidOperationException(
                $"Incompatible features column type item type: '{vector?.ItemType ?? given}' vs '{needed.ItemType}'");
        }

        if (vector?.Size != needed.Size)
        {
            throw new InvalidOperationException($"Incompatible features column type: '{given}' vs '{needed}'");
        }
    }
}
