using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>The columns that multiclass scoring adds, with the annotations that evaluation and other tools read.</summary>
internal static class MulticlassScoreColumns
{
    internal const string Score = "Score";
    internal const string PredictedLabel = "PredictedLabel";

    /// <summary>What is known of the columns before training.</summary>
    internal static IEnumerable<SchemaShape.Column> Shape(SchemaShape.Column label)
    {
        SchemaShape.Column[] common =
        [
            new(AnnotationKinds.ScoreColumnSetId, SchemaShape.Column.VectorKind.Scalar, NumberDataViewType.UInt32, isKey: true),
            new(AnnotationKinds.ScoreColumnKind, SchemaShape.Column.VectorKind.Scalar, TextDataViewType.Instance, isKey: false),
            new(AnnotationKinds.ScoreValueKind, SchemaShape.Column.VectorKind.Scalar, TextDataViewType.Instance, isKey: false),
        ];
        List<SchemaShape.Column> ofScore = [];
        List<SchemaShape.Column> ofLabel = [];
        if (label.Annotations.TryFindColumn(AnnotationKinds.KeyValues, out SchemaShape.Column values))
        {
            ofLabel.Add(values);
            if (values.Kind == SchemaShape.Column.VectorKind.Vector)
            {
                if (values.ItemType is TextDataViewType)
                {
                    ofScore.Add(new(AnnotationKinds.SlotNames, SchemaShape.Column.VectorKind.Vector, TextDataViewType.Instance, isKey: false));
                }

                ofScore.Add(new(AnnotationKinds.TrainingLabelValues, SchemaShape.Column.VectorKind.Vector, values.ItemType, isKey: false));
            }
        }

        return
        [
            new(
                Score,
                SchemaShape.Column.VectorKind.Vector,
                NumberDataViewType.Single,
                isKey: false,
                new SchemaShape(ofScore.Concat(common))),
            new(
                PredictedLabel,
                SchemaShape.Column.VectorKind.Scalar,
                NumberDataViewType.UInt32,
                isKey: true,
                new SchemaShape(ofLabel.Concat(common))),
        ];
    }

    /// <summary>The columns: PredictedLabel, then Score.</summary>
    internal static DataViewSchema.DetachedColumn[] Describe(DataViewSchema input, int classes, ClassNames names)
    {
        uint set = 1 + input.Max(SetIdOrZero);
        bool named = names.Type is VectorDataViewType type && type.Size == classes;
        DataViewSchema.Annotations.Builder ofLabel = Common(PredictedLabel);
        DataViewSchema.Annotations.Builder ofScore = Common(Score);
        if (named)
        {
            ofLabel.Add(AnnotationKinds.KeyValues, names.Type, names.Getter);
            ofScore.Add(AnnotationKinds.TrainingLabelValues, names.Type, names.Getter);
            if (names.Type.ItemType is TextDataViewType)
            {
                ofScore.Add(AnnotationKinds.SlotNames, names.Type, names.Getter);
            }
        }

        return
        [
            new(PredictedLabel, new KeyDataViewType(typeof(uint), classes), ofLabel.ToAnnotations()),
            new(Score, new VectorDataViewType(NumberDataViewType.Single, classes), ofScore.ToAnnotations()),
        ];

        DataViewSchema.Annotations.Builder Common(string valueKind)
        {
            DataViewSchema.Annotations.Builder builder = new();
            builder.AddPrimitiveValue(AnnotationKinds.ScoreColumnSetId, new KeyDataViewType(typeof(uint), int.MaxValue), set);
            builder.AddPrimitiveValue(AnnotationKinds.ScoreColumnKind, TextDataViewType.Instance, "MulticlassClassification".AsMemory());
            builder.AddPrimitiveValue(AnnotationKinds.ScoreValueKind, TextDataViewType.Instance, valueKind.AsMemory());
            return builder;
        }
    }

    private static uint SetIdOrZero(DataViewSchema.Column column)
    {
        uint id = 0;
        if (column.Annotations.Schema.GetColumnOrNull(AnnotationKinds.ScoreColumnSetId)?.Type is KeyDataViewType { RawType: Type raw } && raw == typeof(uint))
        {
            column.Annotations.GetValue(AnnotationKinds.ScoreColumnSetId, ref id);
        }

        return id;
    }
}
